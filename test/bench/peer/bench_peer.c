/*
 * What a connection between two peers costs: from handing over a frame on one thread to the callback at the
 * other end, there and back; the hand-over alone; throughput of large frames; and the bytes of an idle
 * minute.
 */
#include "peer_fixture.h"

#include <stdio.h>
#include <sys/socket.h>

#define ROUNDS 5000

static atomic_int pongs;

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t mono_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int64_t arrived_ns;

/* The far end answers from its callback, on its loop. */
static void echo(struct peer_node *node, const uint8_t *key, const void *bytes, size_t len)
{
    peers_send(node->peers, key, PEER_CHANNEL_CONSENSUS, bytes, len);
}

static void pong(struct peer_node *node, const uint8_t *key, const void *bytes, size_t len)
{
    (void)node;
    (void)key;
    (void)bytes;
    (void)len;
    atomic_fetch_add(&pongs, 1);
}

static void arrive(struct peer_node *node, const uint8_t *key, const void *bytes, size_t len)
{
    (void)node;
    (void)key;
    (void)bytes;
    (void)len;
    arrived_ns = mono_ns();
    atomic_fetch_add(&pongs, 1);
}

static void report(const char *what, int64_t *samples, size_t count)
{
    qsort(samples, count, sizeof(*samples), compare);
    printf("%-44s p50 %6.1f us  p90 %6.1f us  p99 %6.1f us\n", what, (double)samples[count / 2] / 1e3,
           (double)samples[count * 9 / 10] / 1e3, (double)samples[count * 99 / 100] / 1e3);
}

static void measure(const char *what, struct peer_node *from, size_t len, useconds_t pause, bool one_way)
{
    static int64_t samples[ROUNDS];
    size_t rounds = pause ? ROUNDS / 5 : ROUNDS;
    char *bytes = mem_zalloc(len);
    for (size_t i = 0; i < rounds; i++) {
        int before = atomic_load(&pongs);
        if (pause)
            usleep(pause);
        int64_t start = mono_ns();
        peers_send(from->peers, NULL, PEER_CHANNEL_CONSENSUS, bytes, len);
        while (atomic_load(&pongs) == before)
            sched_yield();
        samples[i] = (one_way ? arrived_ns : mono_ns()) - start;
    }
    free(bytes);
    report(what, samples, rounds);
}

static void throughput(struct peer_node *from, struct peer_node *to)
{
    size_t len = 16u << 20, count = 16;
    char *bytes = mem_zalloc(len);
    to->on_frame = pong;
    atomic_store(&pongs, 0);
    int64_t start = mono_ns();
    for (size_t i = 0; i < count; i++) {
        while (i > 2 && (size_t)atomic_load(&pongs) < i - 2)
            usleep(200);
        peers_send(from->peers, NULL, PEER_CHANNEL_SYNC, bytes, len);
    }
    while ((size_t)atomic_load(&pongs) < count)
        usleep(200);
    printf("%-44s %.0f MiB/s\n", "frames of 16 MiB",
           (double)(len * count) / 1048576 / ((double)(mono_ns() - start) / 1e9));
    free(bytes);
}

static void idle(struct peer_node *node, const uint8_t *key, int seconds)
{
    struct peer_info before = {0}, after = {0};
    if (!peer_node_info(node, key, &before))
        abort();
    sleep((unsigned)seconds);
    if (!peer_node_info(node, key, &after))
        abort();
    double minute = 60.0 / seconds;
    printf("%-44s %.0f bytes out, %.0f bytes in, %.0f + %.0f frames a minute\n",
           "idle, payload of WebSocket messages", (double)(after.bytes_out - before.bytes_out) * minute,
           (double)(after.bytes_in - before.bytes_in) * minute,
           (double)(after.frames_out - before.frames_out) * minute,
           (double)(after.frames_in - before.frames_in) * minute);
}

int main(int argc, char **argv)
{
    int seconds = argc > 1 ? atoi(argv[1]) : 10;
    struct peer_authority authority;
    struct peer_node a, b;
    struct err err;
    peer_authority_make(&authority);
    peer_node_init(&a, "a");
    peer_node_init(&b, "b");
    struct peer_node_options options = {.heartbeat_us = 1000000};
    if (peer_node_start(&a, &authority, &options, &err))
        return 1;
    options.seeds[0] = a.address;
    if (peer_node_start(&b, &authority, &options, &err) || !peer_node_wait_events(&b, "+", 3000) ||
        !peer_node_wait_events(&a, "+", 3000))
        return 1;
    a.on_frame = echo;
    b.on_frame = pong;
    measure("100 bytes there and back, one after another", &b, 100, 0, false);
    measure("100 bytes there and back, 1 ms apart", &b, 100, 1000, false);
    measure("10 KiB there and back, 1 ms apart", &b, 10240, 1000, false);
    a.on_frame = arrive;
    measure("100 bytes, hand-over to callback, 1 ms apart", &b, 100, 1000, true);
    b.on_frame = arrive;
    measure("the same by the side that accepted", &a, 100, 1000, true);
    measure("10 KiB, hand-over to callback, 1 ms apart", &b, 10240, 1000, true);
    throughput(&b, &a);
    throughput(&a, &b);
    idle(&a, b.public_key, seconds);
    peer_node_free(&a);
    peer_node_free(&b);
    peer_authority_free(&authority);
    return 0;
}
