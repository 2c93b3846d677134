/* Answers that take a moment to work out: on a thread of their own, while the connection is suspended. */
#include "api/http_internal.h"

#include "base/mem.h"

#include <string.h>

static void *work_main(void *arg)
{
    struct http_work *work = arg;
    pthread_setname_np(pthread_self(), "http-work");
    int code = work->fn(work);
    if (code && !work->request->err.code)
        err_set(&work->request->err, code, "%s", err_reason(code));
    http_meet_done(work->request); /* from here on the work may be gone */
    return NULL;
}

enum MHD_Result http_work_run(struct http_request *request, int (*fn)(struct http_work *work))
{
    pthread_attr_t attributes;
    pthread_t thread;
    struct http_work *work = mem_zalloc(sizeof(*work));
    *work = (struct http_work){.request = request, .fn = fn, .status = MHD_HTTP_OK};
    request->work = work;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int rc = pthread_create(&thread, &attributes, work_main, work);
    pthread_attr_destroy(&attributes);
    if (rc) {
        err_set(&request->err, ERR_UNAVAILABLE, "no thread for the request: %s", strerror(rc));
        return http_reply_err(request);
    }
    return http_meet_wait(request) ? http_work_resume(request) : MHD_YES;
}

enum MHD_Result http_work_resume(struct http_request *request)
{
    struct http_work *work = request->work;
    if (request->err.code)
        return http_reply_err(request);
    return http_reply(request, work->status, "application/json", &work->body);
}

void http_work_free(struct http_work *work)
{
    if (work->body.data)
        explicit_bzero(work->body.data, work->body.cap); /* a join's answer has keys in it */
    buf_free(&work->body);
    free(work);
}
