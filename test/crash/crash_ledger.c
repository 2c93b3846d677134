/*
 * Kills a writing ledger at random instants, again and again, on one data directory, and checks each time
 * that what was answered is there.
 *
 *     crash_ledger [ITERATIONS [SEED]]
 *
 * A child opens the ledger and writes from several threads, each with one write in flight: create, update,
 * delete of its own objects, in a fixed order per object. An answered write is reported over a pipe. The
 * parent kills the child with SIGKILL, opens the directory itself, and expects each object to be as after its
 * last reported write, or as after the one that may have been in flight. Then it rebuilds the state hash from
 * all objects and compares it with the head block's.
 */
#include "base/clock.h"
#include "base/log.h"
#include "blockstore/blockstore.h"
#include "ledger_fixture.h"
#include "scratch.h"
#include "state/entry.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#define THREADS 6
#define OBJECTS 4 /* of each thread */

/* Each fifth write of an object deletes it. */
static bool deletes(uint32_t number)
{
    return number % 5 == 0;
}

struct report {
    uint16_t thread, object;
    uint32_t number; /* of the write, from 1 */
    uint64_t rv;
    uint8_t tx_id[TX_ID_SIZE];
};

struct progress {
    uint32_t number[THREADS][OBJECTS]; /* of the last write that is known to be in the chain */
    uint64_t reported;
};

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "crash_ledger: %s: %s\n", what, detail);
    exit(1);
}

static struct ledger *open_ledger(const char *dir)
{
    struct ledger_options options = {.data_dir = dir, .first_segment = 64u << 10, .checkpoint_us = 20000};
    struct ledger *ledger;
    struct err err;
    if (ledger_open(&ledger, &options, &err) < 0)
        die("cannot open", err.message);
    return ledger;
}

static void object_name(char out[32], int thread, int object)
{
    snprintf(out, 32, "t%d-o%d", thread, object);
}

/* ---- the child ---- */

struct worker {
    struct ledger *ledger;
    int pipe;
    uint16_t thread;
    const struct progress *progress;
};

static void *write_on(void *arg)
{
    struct worker *worker = arg;
    uint32_t next[OBJECTS];
    for (int o = 0; o < OBJECTS; o++)
        next[o] = worker->progress->number[worker->thread][o] + 1;
    for (uint16_t o = 0;; o = (uint16_t)((o + 1) % OBJECTS)) {
        char name[32], value[32];
        struct ledger_result result;
        struct err err;
        object_name(name, worker->thread, o);
        snprintf(value, sizeof(value), "%u", next[o]);
        struct tx *tx = fixture_tx(worker->ledger, "configmaps", name, deletes(next[o]) ? NULL : value);
        if (ledger_submit_wait(worker->ledger, tx, &result, &err) < 0)
            die("refused", err.message);
        struct report report = {worker->thread, o, next[o]++, result.rv, {0}};
        memcpy(report.tx_id, result.tx_id, TX_ID_SIZE);
        if (write(worker->pipe, &report, sizeof(report)) != sizeof(report)) /* atomic: below PIPE_BUF */
            exit(0);
    }
    return NULL;
}

static void run_child(const char *dir, int pipe, const struct progress *progress)
{
    struct ledger *ledger = open_ledger(dir);
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    for (uint16_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){ledger, pipe, i, progress};
        pthread_create(&threads[i], NULL, write_on, &workers[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* ---- the parent ---- */

/* Which write an object is at: the number in its value, or that of the deletion which fits. */
static uint32_t number_of(struct ledger *ledger, int thread, int object, uint32_t reported)
{
    const struct state_store_ops *ops = ledger_store_ops(ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(ledger));
    struct state_object found;
    char name[32];
    object_name(name, thread, object);
    struct resource_key key = fixture_key("configmaps", name);
    uint32_t number = 0;
    if (!ops->get(snapshot, &key, &found, NULL)) {
        mem_auto char *text = mem_strndup((const char *)found.content, found.content_len);
        const char *value = strstr(text, "\"value\":\"");
        number = value ? (uint32_t)strtoul(value + 9, NULL, 10) : 0;
    } else {
        number = !reported || deletes(reported) ? reported : deletes(reported + 1) ? reported + 1 : 0;
        if (!number && reported)
            die("lost", name);
    }
    ops->snapshot_end(snapshot);
    if (number != reported && number != reported + 1) {
        fprintf(stderr, "%s: answered up to write %u, found write %u\n", name, reported, number);
        die("lost", name);
    }
    return number;
}

static void check_state_hash(struct ledger *ledger)
{
    const struct state_store_ops *ops = ledger_store_ops(ledger);
    struct blockstore_head head;
    struct err err;
    if (blockstore_head(ledger_store(ledger), &head, &err) < 0)
        die("no head", err.message);
    struct lthash hash;
    lthash_init(&hash);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(ledger));
    struct state_iter *iter = ops->iter_begin(snapshot, "", 0, NULL, 0);
    struct state_object object;
    while (ops->iter_next(iter, &object)) {
        uint8_t entry[HASH_SIZE];
        state_entry_rebuild(entry, &object);
        lthash_add(&hash, entry);
    }
    ops->iter_end(iter);
    ops->snapshot_end(snapshot);
    uint8_t digest[HASH_SIZE];
    lthash_digest(digest, &hash);
    if (memcmp(digest, head.header.state_digest, HASH_SIZE) != 0)
        die("the state", "does not have the hash that the head block names");
}

/* Reads all reports; each has to be in the chain. */
static size_t check_reports(struct ledger *ledger, const struct report *reports, size_t count,
                            struct progress *progress)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t height;
        uint32_t index;
        struct err err;
        if (blockstore_height_of_tx(ledger_store(ledger), reports[i].tx_id, &height, &index, &err) < 0)
            die("an answered transaction is not in the chain", err.message);
        progress->number[reports[i].thread][reports[i].object] = reports[i].number;
    }
    for (int t = 0; t < THREADS; t++) {
        int ahead = 0;
        for (int o = 0; o < OBJECTS; o++) {
            uint32_t reported = progress->number[t][o];
            progress->number[t][o] = number_of(ledger, t, o, reported);
            ahead += progress->number[t][o] != reported;
        }
        if (ahead > 1)
            die("more writes", "than were in flight");
    }
    check_state_hash(ledger);
    return count;
}

static size_t read_reports(int pipe, struct report **out)
{
    size_t count = 0, cap = 1024;
    *out = mem_calloc(cap, sizeof(**out));
    while (read(pipe, &(*out)[count], sizeof(**out)) == sizeof(**out))
        if (++count == cap) {
            cap *= 2;
            *out = mem_reallocarray(*out, cap, sizeof(**out));
        }
    return count;
}

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

struct killer {
    pid_t pid;
    useconds_t after_us;
};

static void *kill_later(void *arg)
{
    struct killer *killer = arg;
    usleep(killer->after_us);
    kill(killer->pid, SIGKILL);
    return NULL;
}

static void iterate(const char *dir, struct progress *progress, uint64_t *seed)
{
    int ends[2];
    if (pipe(ends) < 0)
        die("pipe", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        run_child(dir, ends[1], progress);
        _exit(0);
    }
    close(ends[1]);
    /* Mostly under load, now and then while it opens and recovers. */
    struct killer killer = {pid, next_random(seed) % (next_random(seed) % 5 ? 200000 : 6000)};
    pthread_t thread;
    pthread_create(&thread, NULL, kill_later, &killer);
    struct report *reports;
    size_t count = read_reports(ends[0], &reports);
    pthread_join(thread, NULL);
    close(ends[0]);
    int status;
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        die("the child", "ended by itself");
    struct ledger *ledger = open_ledger(dir);
    progress->reported += check_reports(ledger, reports, count, progress);
    free(reports);
    ledger_close(ledger);
}

int main(int argc, char **argv)
{
    int iterations = argc > 1 ? atoi(argv[1]) : 20;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)clock_mono_us();
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    log_set_level(LOG_LEVEL_ERROR);
    struct scratch dir;
    scratch_make(&dir);
    struct progress progress = {0};
    struct err err;
    struct ledger *ledger = open_ledger(dir.path);
    if (fixture_put(ledger, "namespaces", FIXTURE_NAMESPACE, "x", NULL, &err) < 0)
        die("cannot make a namespace", err.message);
    ledger_close(ledger);
    for (int i = 0; i < iterations; i++)
        iterate(dir.path, &progress, &seed);
    printf("%d kills, %llu answered writes, none lost\n", iterations, (unsigned long long)progress.reported);
    scratch_remove(&dir);
    return progress.reported || iterations < 5 ? 0 : 1;
}
