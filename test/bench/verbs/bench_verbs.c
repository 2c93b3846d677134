/*
 * What the verbs cost without HTTP: creates of a ConfigMap of 1 KiB, gets, lists, watches. Prints the CPU
 * time of the calling thread (the verb path alone) beside the time that passed.
 *
 *     bench_verbs [COUNT]
 */
#include "api_fixture.h"

#include "base/clock.h"
#include "codec/json_memory.h"

#include <malloc.h>
#include <time.h>

static int64_t thread_cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

struct timing {
    int64_t cpu_us, wall_us;
};

static struct timing begin(void)
{
    return (struct timing){thread_cpu_us(), clock_mono_us()};
}

static void report(const char *what, struct timing since, int count)
{
    printf("%-28s %8.1f us CPU of the calling thread, %8.1f us passed, each of %d\n", what,
           (double)(thread_cpu_us() - since.cpu_us) / count,
           (double)(clock_mono_us() - since.wall_us) / count, count);
}

static char *make_body(int number)
{
    char fill[1025];
    memset(fill, 'x', 1024);
    fill[1024] = '\0';
    return mem_printf("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"bench-%06d\","
                      "\"namespace\":\"default\"},\"data\":{\"value\":\"%s\"}}",
                      number, fill);
}

struct outstanding {
    pthread_mutex_t lock;
    pthread_cond_t done;
    int open, failed;
};

static void on_done(void *arg, struct api_response *response)
{
    struct outstanding *o = arg;
    pthread_mutex_lock(&o->lock);
    o->failed += response->status != 201;
    o->open--;
    pthread_cond_signal(&o->done);
    pthread_mutex_unlock(&o->lock);
    api_response_free(response);
}

/* Creates with up to `width` of them in the ledger's hands at a time. */
static void bench_create(struct api_fixture *f, int count, int width, int base)
{
    struct outstanding o = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
    struct api_request *requests = mem_calloc((size_t)count, sizeof(*requests));
    for (int i = 0; i < count; i++) {
        char *body = make_body(base + i);
        requests[i] = (struct api_request){.user = f->user,
                                           .verb = API_CREATE,
                                           .kind = api_kind("configmaps"),
                                           .subresource = "",
                                           .namespace = "default",
                                           .name = "",
                                           .content_type = "application/json",
                                           .body = body,
                                           .body_len = strlen(body),
                                           .grace_period_s = -1,
                                           .user_agent = "bench/1",
                                           .may_block = width == 1};
    }
    struct timing t = begin();
    for (int i = 0; i < count; i++) {
        pthread_mutex_lock(&o.lock);
        while (o.open >= width)
            pthread_cond_wait(&o.done, &o.lock);
        o.open++;
        pthread_mutex_unlock(&o.lock);
        api_handle(f->server, &requests[i], on_done, &o);
    }
    pthread_mutex_lock(&o.lock);
    while (o.open > 0)
        pthread_cond_wait(&o.done, &o.lock);
    pthread_mutex_unlock(&o.lock);
    char what[64];
    snprintf(what, sizeof(what), "create, %d at a time", width);
    report(what, t, count);
    if (o.failed)
        printf("%d creates failed\n", o.failed);
    for (int i = 0; i < count; i++)
        free((void *)requests[i].body);
    free(requests);
}

static void bench_get(struct api_fixture *f, int count)
{
    struct timing t = begin();
    for (int i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "bench-%06d", i);
        api_response_free(api_ask(f, API_GET, "configmaps", "default", name, NULL));
    }
    report("get", t, count);
}

static void bench_list(struct api_fixture *f, const char *selector, const char *what)
{
    f->extra.label_selector = selector;
    struct timing t = begin();
    struct api_response *response = api_ask(f, API_LIST, "configmaps", "default", "", NULL);
    struct buf text = BUF_INIT;
    int count = 0;
    while (api_list_next(response->list, &text))
        count++;
    report(what, t, count ? count : 1);
    buf_free(&text);
    api_response_free(response);
}

#define WATCHES 1000

/* One event to many watches, read one after the other as the HTTP threads do. */
static void bench_watch(struct api_fixture *f)
{
    static struct api_watch *watches[WATCHES];
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < WATCHES; i++) {
        f->extra.resource_version = "0";
        f->extra.send_initial_events_set = true;
        struct api_response *response = api_ask(f, API_WATCH, "configmaps", "default", "", NULL);
        watches[i] = response->watch;
        response->watch = NULL;
        api_response_free(response);
        struct api_watch_event event;
        if (api_watch_next(watches[i], &event))
            printf("a watch began with an event\n");
    }
    printf("%-28s %8zu bytes\n", "memory of a watch", (mallinfo2().uordblks - before) / WATCHES);
    bench_create(f, 1, 1, 900000);
    struct timing t = begin();
    int got = 0;
    for (int i = 0; i < WATCHES; i++) {
        struct api_watch_event event;
        got += api_watch_next(watches[i], &event);
    }
    report("event to each of the watches", t, got);
    for (int i = 0; i < WATCHES; i++)
        api_watch_close(watches[i]);
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 2000;
    struct api_fixture f;
    json_memory_start();
    api_fixture_open(&f);
    bench_create(&f, count, 64, 0);
    bench_create(&f, count / 4, 1, count);
    bench_get(&f, count);
    bench_list(&f, NULL, "list, per item");
    bench_list(&f, "app!=x", "list by selector, per item");
    bench_watch(&f);
    api_fixture_close(&f);
    return 0;
}
