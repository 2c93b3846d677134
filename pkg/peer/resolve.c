/* See resolve.h. */
#include "peer/resolve.h"

#include "base/mem.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define RESOLVE_THREADS_MAX 8
#define RESOLVE_STACK (256 * 1024)

struct resolver {
    pthread_mutex_t lock;
    unsigned references; /* its owner's, and those of threads and look-ups */
    unsigned threads;
    void (*wake)(void *arg); /* NULL: closed */
    void *arg;
};

struct resolution {
    struct resolver *resolver; /* NULL: was answered without a thread */
    unsigned references;       /* by the resolver's lock: the caller's, and the thread's */
    char *host;
    bool done;
    struct resolved result;
};

struct resolver *resolver_open(void (*wake)(void *arg), void *arg)
{
    struct resolver *resolver = mem_zalloc(sizeof(*resolver));
    pthread_mutex_init(&resolver->lock, NULL);
    resolver->references = 1;
    resolver->wake = wake;
    resolver->arg = arg;
    return resolver;
}

/* Called with the lock, which it gives back. */
static void resolver_release(struct resolver *resolver)
{
    bool last = --resolver->references == 0;
    pthread_mutex_unlock(&resolver->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&resolver->lock);
    free(resolver);
}

void resolver_close(struct resolver *resolver)
{
    pthread_mutex_lock(&resolver->lock);
    resolver->wake = NULL;
    resolver_release(resolver);
}

static int look_up(const char *host, int flags, struct resolved *out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC, .ai_flags = flags};
    struct addrinfo *list = NULL;
    *out = (struct resolved){0};
    int rc = getaddrinfo(host, NULL, &hints, &list);
    if (rc) {
        snprintf(out->error, sizeof(out->error), "%s", gai_strerror(rc));
        return rc;
    }
    for (const struct addrinfo *each = list; each && out->count < RESOLVE_MAX; each = each->ai_next) {
        char *text = out->texts[out->count];
        if (!getnameinfo(each->ai_addr, each->ai_addrlen, text, RESOLVE_TEXT_MAX, NULL, 0, NI_NUMERICHOST))
            out->count++;
    }
    freeaddrinfo(list);
    if (!out->count)
        snprintf(out->error, sizeof(out->error), "the name has no address");
    return 0;
}

/* Called with the resolver's lock, or without a resolver. */
static void resolution_release(struct resolution *resolution)
{
    if (--resolution->references)
        return;
    free(resolution->host);
    free(resolution);
}

static void *resolution_main(void *arg)
{
    struct resolution *resolution = arg;
    struct resolver *resolver = resolution->resolver;
    struct resolved result;
    look_up(resolution->host, 0, &result);
    pthread_mutex_lock(&resolver->lock);
    resolution->result = result;
    resolution->done = true;
    resolver->threads--;
    if (resolver->wake)
        resolver->wake(resolver->arg);
    resolution_release(resolution);
    resolver_release(resolver);
    return NULL;
}

static bool thread_start(struct resolution *resolution)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, RESOLVE_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int rc = pthread_create(&thread, &attributes, resolution_main, resolution);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return rc == 0;
}

struct resolution *resolution_start(struct resolver *resolver, const char *host)
{
    struct resolution *resolution = mem_zalloc(sizeof(*resolution));
    resolution->host = mem_strdup(host);
    resolution->references = 1;
    if (look_up(host, AI_NUMERICHOST, &resolution->result) == 0) {
        resolution->done = true;
        return resolution;
    }
    pthread_mutex_lock(&resolver->lock);
    resolution->resolver = resolver;
    bool started = resolver->threads < RESOLVE_THREADS_MAX;
    if (started) {
        resolution->references++;
        resolver->references += 2;
        resolver->threads++;
        started = thread_start(resolution);
        if (!started) {
            resolution->references--;
            resolver->references -= 2;
            resolver->threads--;
        }
    }
    if (!started) {
        resolution_release(resolution);
        resolution = NULL;
    }
    pthread_mutex_unlock(&resolver->lock);
    return resolution;
}

bool resolution_done(struct resolution *resolution, struct resolved *out)
{
    struct resolver *resolver = resolution->resolver;
    if (resolver)
        pthread_mutex_lock(&resolver->lock);
    bool done = resolution->done;
    if (done)
        *out = resolution->result;
    if (resolver)
        pthread_mutex_unlock(&resolver->lock);
    return done;
}

void resolution_end(struct resolution *resolution)
{
    if (!resolution)
        return;
    struct resolver *resolver = resolution->resolver;
    if (!resolver) {
        resolution_release(resolution);
        return;
    }
    pthread_mutex_lock(&resolver->lock);
    resolution_release(resolution);
    resolver_release(resolver);
}
