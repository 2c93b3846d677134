/* What the verbs need to start and stop. */
#include "api/node_events.h"
#include "api/orphans.h"
#include "api/verbs_internal.h"

#include "base/mem.h"

#include <sodium.h>

int api_verbs_start(struct api_server *server, struct err *err)
{
    if (sodium_init() < 0)
        return err_set(err, ERR_INTERNAL, "libsodium does not start");
    struct api_verbs *verbs = mem_zalloc(sizeof(*verbs));
    pthread_mutex_init(&verbs->lock, NULL);
    pthread_cond_init(&verbs->idle, NULL);
    server->verbs = verbs;
    server->events = api_events_start(server->ledger);
    verbs->allocator = allocator_new(server->service_cidr, err);
    int rc = verbs->allocator ? hub_start(server, err) : err->code;
    if (!rc)
        rc = bootstrap_run(server, err);
    if (!rc)
        rc = orphans_start(server, err);
    if (rc)
        api_verbs_stop(server);
    return rc;
}

void api_verbs_stop(struct api_server *server)
{
    struct api_verbs *verbs = server->verbs;
    if (!verbs)
        return;
    orphans_stop(server);
    pthread_mutex_lock(&verbs->lock);
    while (verbs->calls > 0)
        pthread_cond_wait(&verbs->idle, &verbs->lock);
    pthread_mutex_unlock(&verbs->lock);
    hub_stop(server);
    api_events_stop(server->events);
    server->events = NULL;
    allocator_free(verbs->allocator);
    pthread_mutex_destroy(&verbs->lock);
    pthread_cond_destroy(&verbs->idle);
    free(verbs);
    server->verbs = NULL;
}
