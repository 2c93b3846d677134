/*
 * Kills a process that writes a block store, with rewinds, orphans, records and finality, at random instants
 * again and again, and compares what is left with a store that was never killed.
 *
 *     crash_store [ITERATIONS [SEED]]
 *
 * Each step follows from the seed and its number (store_steps.h). The child reports the number of each step
 * that is done over a pipe; the parent kills it, does the same steps on a store of its own, and expects to
 * see the same in both, after the last reported step or the one that may have been under way.
 */
#include "base/clock.h"
#include "base/log.h"
#include "scratch.h"
#include "store_steps.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static struct tx_fixture fixture;

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "crash_store: %s: %s\n", what, detail);
    exit(1);
}

static struct blockstore *open_store(const char *dir)
{
    struct blockstore_options options = {.dir = dir, .first_segment = 16u << 10, .checkpoint_us = 20000};
    struct blockstore *store;
    struct err err;
    if (blockstore_open(&store, &options, &err) < 0)
        die("cannot open", err.message);
    return store;
}

static void step(struct blockstore *store, uint64_t seed, uint64_t number)
{
    struct err err;
    if (store_steps_do(&fixture, store, seed, number, false, &err) < 0)
        die("a step failed", err.message);
}

static void run_child(const char *dir, int pipe, uint64_t seed, uint64_t number)
{
    struct blockstore *store = open_store(dir);
    for (;; number++) {
        step(store, seed, number);
        if (write(pipe, &number, sizeof(number)) != sizeof(number))
            exit(0);
    }
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

/* Runs a child until it is killed; the number of the last step that it reported, or `from` - 1. */
static uint64_t run_and_kill(const char *dir, uint64_t seed, uint64_t from, useconds_t after_us)
{
    int ends[2];
    if (pipe(ends) < 0)
        die("pipe", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        run_child(dir, ends[1], seed, from);
        _exit(0);
    }
    close(ends[1]);
    struct killer killer = {pid, after_us};
    pthread_t thread;
    pthread_create(&thread, NULL, kill_later, &killer);
    uint64_t reported = from - 1, number;
    while (read(ends[0], &number, sizeof(number)) == sizeof(number))
        reported = number;
    pthread_join(thread, NULL);
    close(ends[0]);
    int status;
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        die("the child", "ended by itself");
    return reported;
}

/* The store that was killed has to be where the other one is, or a step further: its number is the result. */
static uint64_t compare(const char *dir, struct blockstore *other, uint64_t seed, uint64_t reported)
{
    buf_auto struct buf found = BUF_INIT, expected = BUF_INIT;
    struct blockstore *store = open_store(dir);
    store_steps_show(&found, store);
    blockstore_close(store);
    store_steps_show(&expected, other);
    if (!strcmp(buf_str(&found), buf_str(&expected)))
        return reported;
    step(other, seed, reported + 1);
    store_steps_show(&expected, other);
    if (!strcmp(buf_str(&found), buf_str(&expected)))
        return reported + 1;
    fprintf(stderr, "after step %llu\n--- expected\n%s--- found\n%s", (unsigned long long)reported,
            buf_str(&expected), buf_str(&found));
    die("the store", "is not as it was");
    return 0;
}

int main(int argc, char **argv)
{
    int iterations = argc > 1 ? atoi(argv[1]) : 20;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)clock_mono_us();
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    log_set_level(LOG_LEVEL_ERROR);
    struct scratch dir, other_dir;
    scratch_make(&dir);
    scratch_make_in_memory(&other_dir);
    tx_fixture_begin(&fixture);
    uint64_t done = 0, random = seed;
    for (int i = 0; i < iterations; i++) {
        useconds_t after_us = store_steps_random(&random) % (store_steps_random(&random) % 5 ? 150000 : 6000);
        uint64_t reported = run_and_kill(dir.path, seed, done + 1, after_us);
        struct blockstore *other = open_store(other_dir.path);
        for (uint64_t number = done + 1; number <= reported; number++)
            step(other, seed, number);
        done = compare(dir.path, other, seed, reported);
        blockstore_close(other);
    }
    printf("%d kills, %llu steps\n", iterations, (unsigned long long)done);
    tx_fixture_end(&fixture);
    scratch_remove(&dir);
    scratch_remove(&other_dir);
    return 0;
}
