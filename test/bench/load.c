/*
 * load: runs one kind of request with a number of clients and prints a line that hack/bench reads:
 *
 *     ops/s  p50_us  p99_us  operations
 *
 *   load katena-create CLIENTS SECONDS   create ConfigMaps of 1 KiB
 *   load katena-final CLIENTS SECONDS    the same, and wait until it is irreversible
 *   load katena-get CLIENTS SECONDS      get one of them
 *   load katena-list PATH REPEATS        list, whole
 *   load katena-fill COUNT               COUNT ConfigMaps as fast as 32 clients can
 *   load katena-pods COUNT               COUNT pods that nothing schedules
 *   load katena-watch WATCHERS EVENTS    time from a write's answer until all watchers have seen it
 *   load katena-start IMAGE REPEATS      a pod from its creation to Running
 *   load etcd-put|etcd-get CLIENTS SECONDS
 *   load etcd-list PREFIX REPEATS
 *   load etcd-fill|etcd-pods COUNT
 *
 * Targets come from the environment: BENCH_HOST, BENCH_PORT, BENCH_CA, BENCH_CERT, BENCH_KEY.
 */
#include "load.h"

#include "base/clock.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE_SIZE 1024
#define SAMPLES_MAX 4000000
#define BASE "/api/v1/namespaces/bench/"

static struct target target;
static atomic_llong deadline_us;
static atomic_int samples_count;
static uint32_t *samples;
static const char *run_id;

struct client {
    int number;
    long count; /* operations to do; 0: until the deadline */
    const struct operation *operation;
    struct http_connection http;
    struct grpc_connection grpc;
};

struct operation {
    const char *name;
    bool etcd;
    void (*run)(struct client *client, long i);
};

static char filler[VALUE_SIZE];

static void make_filler(void)
{
    for (size_t i = 0; i < sizeof(filler); i++)
        filler[i] = (char)('a' + i % 26);
}

/* A ConfigMap whose JSON is VALUE_SIZE bytes long, like the values that etcd gets. */
static size_t make_config_map(char *out, size_t size, const char *name)
{
    int n = snprintf(
        out, size,
        "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"%s\"},\"data\":{\"v\":\"",
        name);
    size_t fill = VALUE_SIZE - (size_t)n - 3;
    memcpy(out + n, filler, fill);
    memcpy(out + n + fill, "\"}}", 4);
    return VALUE_SIZE;
}

static void katena_post(struct client *client, const char *path, const char *body, size_t len)
{
    size_t answer, answer_len;
    int status = http_call(&client->http, "POST", path, "application/json", body, len, &answer, &answer_len);
    if (status != 201)
        load_fail("POST %s: HTTP %d %.*s", path, status, (int)answer_len, client->http.buffer + answer);
}

static void create_config_map(struct client *client, long i, const char *path)
{
    char name[64], body[VALUE_SIZE + 1];
    snprintf(name, sizeof(name), "c%s-%d-%ld", run_id, client->number, i);
    size_t len = make_config_map(body, sizeof(body), name);
    katena_post(client, path, body, len);
}

static void katena_create(struct client *client, long i)
{
    create_config_map(client, i, BASE "configmaps");
}

static void katena_final(struct client *client, long i)
{
    create_config_map(client, i, BASE "configmaps?commit=irreversible");
}

static void katena_create_pod(struct client *client, long i)
{
    char body[2048];
    int n =
        snprintf(body, sizeof(body),
                 "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"p%d-%ld\",\"labels\":{"
                 "\"app\":\"bench\"}},"
                 "\"spec\":{\"schedulerName\":\"none\",\"containers\":[{\"name\":\"c\",\"image\":\"x:1\"}]}}",
                 client->number, i);
    katena_post(client, BASE "pods", body, (size_t)n);
}

static void katena_get(struct client *client, long i)
{
    (void)i;
    size_t answer, answer_len;
    int status = http_call(&client->http, "GET", BASE "configmaps/one", "application/json", NULL, 0, &answer,
                           &answer_len);
    if (status != 200)
        load_fail("GET: HTTP %d", status);
}

static size_t put_bytes(uint8_t *out, uint8_t tag, const void *data, size_t len)
{
    size_t n = 0;
    out[n++] = tag;
    size_t rest = len;
    for (; rest >= 0x80; rest >>= 7)
        out[n++] = (uint8_t)(rest | 0x80);
    out[n++] = (uint8_t)rest;
    memcpy(out + n, data, len);
    return n + len;
}

static void etcd_put_key(struct client *client, const char *key)
{
    char value[VALUE_SIZE + 1];
    uint8_t message[VALUE_SIZE + 256];
    size_t len = make_config_map(value, sizeof(value), key);
    size_t n = put_bytes(message, 0x0a, key, strlen(key));
    n += put_bytes(message + n, 0x12, value, len);
    grpc_call(&client->grpc, "/etcdserverpb.KV/Put", message, n);
}

static void etcd_put(struct client *client, long i)
{
    char key[128];
    snprintf(key, sizeof(key), "/registry/configmaps/bench/c%s-%d-%ld", run_id, client->number, i);
    etcd_put_key(client, key);
}

static void etcd_get(struct client *client, long i)
{
    (void)i;
    uint8_t message[128];
    static const char key[] = "/registry/configmaps/bench/one";
    size_t n = put_bytes(message, 0x0a, key, sizeof(key) - 1);
    if (grpc_call(&client->grpc, "/etcdserverpb.KV/Range", message, n) < VALUE_SIZE)
        load_fail("etcd does not have the key");
}

static void etcd_put_one(struct client *client, long i)
{
    (void)i;
    etcd_put_key(client, "/registry/configmaps/bench/one");
}

/* As large as the pods that katena lists are in JSON. */
static void etcd_put_pod(struct client *client, long i)
{
    char key[128];
    snprintf(key, sizeof(key), "/registry/pods/bench/p%d-%ld", client->number, i);
    etcd_put_key(client, key);
}

static const struct operation operations[] = {
    {"katena-create", false, katena_create},
    {"katena-final", false, katena_final},
    {"katena-get", false, katena_get},
    {"katena-fill", false, katena_create},
    {"katena-pods", false, katena_create_pod},
    {"etcd-put", true, etcd_put},
    {"etcd-get", true, etcd_get},
    {"etcd-fill", true, etcd_put},
    {"etcd-one", true, etcd_put_one},
    {"etcd-pods", true, etcd_put_pod},
};

static void client_open(struct client *client, bool etcd)
{
    if (etcd)
        grpc_open(&client->grpc, &target);
    else
        http_open(&client->http, &target);
}

static void sample_add(int64_t us)
{
    int i = atomic_fetch_add(&samples_count, 1);
    if (i < SAMPLES_MAX)
        samples[i] = (uint32_t)us;
}

static void *client_run(void *arg)
{
    struct client *client = arg;
    for (long i = 0; client->count ? i < client->count : clock_mono_us() < deadline_us; i++) {
        int64_t begun = clock_mono_us();
        client->operation->run(client, i);
        sample_add(clock_mono_us() - begun);
    }
    return NULL;
}

static int compare_samples(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void print_result(int64_t elapsed_us)
{
    int n = samples_count < SAMPLES_MAX ? samples_count : SAMPLES_MAX;
    if (!n)
        load_fail("nothing was measured");
    qsort(samples, (size_t)n, sizeof(*samples), compare_samples);
    printf("%.0f %u %u %d\n", (double)n * 1e6 / (double)elapsed_us, samples[n / 2],
           samples[(int64_t)n * 99 / 100], n);
}

static void run_clients(const struct operation *operation, int clients, double seconds, long total)
{
    struct client *all = mem_calloc((size_t)clients, sizeof(*all));
    pthread_t *threads = mem_calloc((size_t)clients, sizeof(*threads));
    for (int i = 0; i < clients; i++) {
        all[i].number = i;
        all[i].count = total / clients + (i < total % clients);
        all[i].operation = operation;
        client_open(&all[i], operation->etcd);
    }
    int64_t begun = clock_mono_us();
    deadline_us = begun + (int64_t)(seconds * 1e6);
    for (int i = 0; i < clients; i++)
        pthread_create(&threads[i], NULL, client_run, &all[i]);
    for (int i = 0; i < clients; i++)
        pthread_join(threads[i], NULL);
    print_result(clock_mono_us() - begun);
}

static void run_list(const char *path, int repeats, bool etcd)
{
    struct client client = {0};
    client_open(&client, etcd);
    int64_t begun = clock_mono_us();
    size_t bytes = 0;
    for (int i = 0; i < repeats; i++) {
        int64_t from = clock_mono_us();
        if (etcd) {
            char end[128];
            snprintf(end, sizeof(end), "%s", path);
            end[strlen(end) - 1]++;
            uint8_t message[512];
            size_t n = put_bytes(message, 0x0a, path, strlen(path));
            n += put_bytes(message + n, 0x12, end, strlen(end));
            bytes = grpc_call(&client.grpc, "/etcdserverpb.KV/Range", message, n);
        } else {
            size_t answer;
            int status = http_call(&client.http, "GET", path, "application/json", NULL, 0, &answer, &bytes);
            if (status != 200)
                load_fail("GET %s: HTTP %d", path, status);
        }
        sample_add(clock_mono_us() - from);
    }
    fprintf(stderr, "list of %zu bytes\n", bytes);
    print_result(clock_mono_us() - begun);
}

struct watcher {
    struct http_connection http;
    int wanted;
    atomic_int *seen;
    int64_t seen_us;
};

static void *watcher_run(void *arg)
{
    struct watcher *w = arg;
    int counted = 0;
    size_t scanned = 0;
    while (counted < w->wanted && http_read_more(&w->http)) {
        for (char *p; (p = memmem(w->http.buffer + scanned, w->http.length - scanned, "\"MODIFIED\"", 10));
             counted++) {
            scanned = (size_t)(p - w->http.buffer) + 10;
            atomic_fetch_add(w->seen, 1);
        }
        if (w->http.length > 1 << 20)
            load_fail("a watcher got more than expected");
    }
    return NULL;
}

static void patch_one(struct client *client, int i)
{
    char body[128];
    int n = snprintf(body, sizeof(body), "[{\"op\":\"add\",\"path\":\"/data/n\",\"value\":\"%d\"}]", i);
    size_t answer, answer_len;
    int status = http_call(&client->http, "PATCH", BASE "configmaps/one", "application/json-patch+json", body,
                           (size_t)n, &answer, &answer_len);
    if (status != 200)
        load_fail("PATCH: HTTP %d %.*s", status, (int)answer_len, client->http.buffer + answer);
}

static void run_watch(int watchers, int events)
{
    struct watcher *all = mem_calloc((size_t)watchers, sizeof(*all));
    atomic_int seen = 0;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 10);
    for (int i = 0; i < watchers; i++) {
        all[i].wanted = events;
        all[i].seen = &seen;
        http_open(&all[i].http, &target);
        http_send_get(&all[i].http, BASE "configmaps?watch=true&fieldSelector=metadata.name%3Done");
        pthread_t thread;
        pthread_create(&thread, &attributes, watcher_run, &all[i]);
    }
    struct client writer = {0};
    client_open(&writer, false);
    usleep(1000000); /* all watches are registered */
    fprintf(stderr, "watching\n");
    int64_t begun = clock_mono_us();
    for (int i = 0; i < events; i++) {
        int64_t from = clock_mono_us();
        patch_one(&writer, i);
        while (atomic_load(&seen) < (i + 1) * watchers) {
            if (clock_mono_us() - from > 30000000)
                load_fail("only %d of %d watchers saw event %d", atomic_load(&seen) - i * watchers, watchers,
                          i);
            usleep(200);
        }
        sample_add(clock_mono_us() - from);
    }
    print_result(clock_mono_us() - begun);
}

static void run_pod_start(const char *image, int repeats)
{
    struct client client = {0};
    client_open(&client, false);
    int64_t begun = clock_mono_us();
    for (int i = 0; i < repeats; i++)
        sample_add(pod_start_once(&client.http, image, i));
    print_result(clock_mono_us() - begun);
}

static const char *environment(const char *name, const char *fallback)
{
    const char *value = getenv(name);
    return value ? value : fallback;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        load_fail("usage: load OPERATION NUMBER [NUMBER] (see the head of load.c)");
    target = (struct target){environment("BENCH_HOST", "127.0.0.1"), atoi(environment("BENCH_PORT", "6443")),
                             environment("BENCH_CA", ""), environment("BENCH_CERT", ""),
                             environment("BENCH_KEY", "")};
    run_id = mem_printf("%llx", (unsigned long long)clock_wall_us());
    make_filler();
    samples = mem_calloc(SAMPLES_MAX, sizeof(*samples));
    const char *name = argv[1];
    double second = argc > 3 ? atof(argv[3]) : 1;
    if (strstr(name, "-list")) {
        run_list(argv[2], (int)second, !strncmp(name, "etcd", 4));
        return 0;
    }
    if (!strcmp(name, "katena-watch")) {
        run_watch(atoi(argv[2]), (int)second);
        return 0;
    }
    if (!strcmp(name, "katena-start")) {
        run_pod_start(argv[2], (int)second);
        return 0;
    }
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (strcmp(name, operations[i].name))
            continue;
        bool fill = strstr(name, "-fill") || strstr(name, "-pods");
        run_clients(&operations[i], fill ? 32 : atoi(argv[2]), fill ? 0 : second, fill ? atol(argv[2]) : 0);
        return 0;
    }
    load_fail("unknown operation %s", name);
}
