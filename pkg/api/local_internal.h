/* The in-process client: local_client.c (requests) and local_watch.c (watches). */
#ifndef KATENA_API_LOCAL_INTERNAL_H
#define KATENA_API_LOCAL_INTERNAL_H

#include "api/hub_internal.h"

struct local_client {
    struct client base;
    struct api_server *server;
    char *user, *manager;
    char **groups;
    struct api_user identity;

    /* The dispatcher: one thread for all watches of the client, begun with the first one. */
    pthread_mutex_t lock;
    pthread_cond_t work; /* a watch may have events, or the end has come */
    pthread_cond_t idle; /* a callback has returned */
    pthread_t thread;
    bool running, stopping;
    struct local_watch *watches;

    /* Who is told when other nodes come and go; NULL: nobody. */
    client_members_fn members_fn;
    void *members_arg;

    _Atomic int64_t unsettled_us; /* since when histories are being merged, monotonic; 0: they are not */
};

/* Opens a watch with the initial state; the caller frees the answer. NULL: no such resource. */
struct api_response *local_watch_open(struct local_client *client, const struct client_resource *resource,
                                      const char *namespace, const char *field_selector);

struct client_watch *local_watch_start(struct client *client, const struct client_resource *resource,
                                       const char *namespace, const char *field_selector, client_watch_fn fn,
                                       void *arg);
struct client_watch *local_watch_start_metadata(struct client *client, const struct client_resource *resource,
                                                client_watch_fn fn, void *arg);
void local_watch_stop(struct client_watch *watch);
void local_dispatcher_start(struct local_client *client);
void local_dispatcher_stop(struct local_client *client);

#endif
