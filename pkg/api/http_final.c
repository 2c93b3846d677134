/*
 * Waiting for finality without a thread: the ledger calls when it is known, and the request may be gone by
 * then, since a server that stops lets nobody wait. So what the ledger is given is a small struct of its own,
 * which outlives the request when it has to.
 */
#include "api/http_internal.h"

#include "base/mem.h"

#include <stdio.h>

struct http_final {
    struct http_final *prev, *next;
    struct http_request *request; /* NULL: does not wait any more */
};

static pthread_mutex_t final_lock = PTHREAD_MUTEX_INITIALIZER;

/* The lock is held. Returns the request, whose waiting is over. */
static struct http_request *detach(struct http_final *final, int code, const char *message)
{
    struct http_request *request = final->request;
    if (!request)
        return NULL;
    struct api_http *http = request->http;
    if (final->prev)
        final->prev->next = final->next;
    else
        http->finals = final->next;
    if (final->next)
        final->next->prev = final->prev;
    final->request = NULL;
    request->final = NULL;
    request->final_known = true;
    request->final_code = code;
    if (code)
        err_set(&request->err, code, "%s", message && *message ? message : err_reason(code));
    return request;
}

static void on_final(void *arg, int code, const char *message)
{
    struct http_final *final = arg;
    pthread_mutex_lock(&final_lock);
    struct http_request *request = detach(final, code, message);
    pthread_mutex_unlock(&final_lock);
    free(final);
    if (request)
        http_meet_done(request);
}

bool http_final_wait(struct http_request *request, const uint8_t tx_id[TX_ID_SIZE], int64_t timeout_us)
{
    struct api_http *http = request->http;
    struct http_final *final = mem_zalloc(sizeof(*final));
    final->request = request;
    pthread_mutex_lock(&final_lock);
    request->final = final;
    final->next = http->finals;
    if (final->next)
        final->next->prev = final;
    http->finals = final;
    pthread_mutex_unlock(&final_lock);
    ledger_on_final(http->server->ledger, tx_id, timeout_us, on_final, final);
    return http_meet_wait(request);
}

void http_final_end_all(struct api_http *http)
{
    for (;;) {
        pthread_mutex_lock(&final_lock);
        struct http_request *request =
            http->finals ? detach(http->finals, ERR_UNAVAILABLE, "the server is shutting down") : NULL;
        pthread_mutex_unlock(&final_lock);
        if (!request)
            return;
        http_meet_done(request);
    }
}
