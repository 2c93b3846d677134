/*
 * What a durable commit costs, by how it is made durable: bench_commit [DIR [SECONDS]].
 *
 * The first four rows are LMDB alone or beside a plain log, each commit with one or a hundred puts of 1 KiB
 * under random keys; the last are transactions through the whole ledger (signed, validated, hashed, indexed).
 * The choice of the ledger rests on the ratios (docs/storage.md).
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "ledger_fixture.h"
#include "scratch.h"

#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#define VALUE 1024

struct samples {
    int64_t us[200000];
    size_t count;
};
static struct samples samples;
static double seconds = 1.5;

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void report(const char *name, int puts, int64_t took_us, double base)
{
    qsort(samples.us, samples.count, sizeof(samples.us[0]), compare);
    double rate = (double)samples.count * puts * 1e6 / (double)took_us;
    printf("%-34s %4d %10.0f %8lld %8lld %7.2f\n", name, puts, rate, (long long)samples.us[samples.count / 2],
           (long long)samples.us[samples.count * 99 / 100], base > 0 ? rate / base : 1.0);
    fflush(stdout);
}

static void check(int rc)
{
    if (rc) {
        fprintf(stderr, "bench_commit: %s\n", mdb_strerror(rc));
        exit(1);
    }
}

struct mode {
    const char *name;
    unsigned flags;
    bool log, prewritten;
};

static int open_log(const char *path, bool prewritten)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    static char zeros[1 << 20];
    for (int i = 0; prewritten && i < 256; i++)
        if (write(fd, zeros, sizeof(zeros)) != sizeof(zeros))
            exit(1);
    fsync(fd);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static double run_lmdb(const char *dir, const struct mode *mode, int puts, double base)
{
    char path[256];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    snprintf(path, sizeof(path), "%s/bench.mdb", dir);
    check(mdb_env_create(&env));
    check(mdb_env_set_mapsize(env, (size_t)8 << 30));
    check(mdb_env_open(env, path, MDB_NOSUBDIR | mode->flags, 0600));
    check(mdb_txn_begin(env, NULL, 0, &txn));
    check(mdb_dbi_open(txn, NULL, 0, &dbi));
    check(mdb_txn_commit(txn));
    snprintf(path, sizeof(path), "%s/bench.log", dir);
    int log = mode->log ? open_log(path, mode->prewritten) : -1;
    static uint8_t value[VALUE * 100];
    rand_bytes(value, sizeof(value));
    samples.count = 0;
    int64_t start = clock_mono_us(), now = start;
    while ((double)(now - start) < seconds * 1e6 && samples.count < 200000) {
        int64_t before = now;
        if (log >= 0 && (write(log, value, (size_t)VALUE * (size_t)puts) < 0 || fdatasync(log) < 0))
            exit(1);
        check(mdb_txn_begin(env, NULL, 0, &txn));
        for (int i = 0; i < puts; i++) {
            uint8_t key[32];
            rand_bytes(key, sizeof(key));
            MDB_val k = {sizeof(key), key}, v = {VALUE, value};
            check(mdb_put(txn, dbi, &k, &v, 0));
        }
        check(mdb_txn_commit(txn));
        now = clock_mono_us();
        samples.us[samples.count++] = now - before;
    }
    report(mode->name, puts, now - start, base);
    double rate = (double)samples.count * puts * 1e6 / (double)(now - start);
    mdb_env_close(env);
    if (log >= 0)
        close(log);
    unlink(path);
    snprintf(path, sizeof(path), "%s/bench.mdb", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/bench.mdb-lock", dir);
    unlink(path);
    return rate;
}

/* ---- through the ledger ---- */

static atomic_int answered;

static void count_answer(void *arg, const struct ledger_result *result)
{
    int64_t *sent = arg;
    if (result->code) {
        fprintf(stderr, "bench_commit: %s\n", result->message);
        exit(1);
    }
    int at = atomic_fetch_add(&answered, 1);
    samples.us[at] = clock_mono_us() - *sent;
}

static struct tx *make_tx(struct ledger *ledger, int number)
{
    char name[32];
    static char value[VALUE + 1];
    memset(value, 'x', VALUE);
    snprintf(name, sizeof(name), "n%d", number);
    return fixture_tx(ledger, "configmaps", name, value);
}

enum { DEPTH_MAX = 1024, PER_RUN = 20000 };

/* `depth` transactions in flight, all made and signed beforehand. */
static void run_ledger(struct ledger *ledger, const char *name, int depth, int total, bool inline_,
                       double base)
{
    static int number;
    static struct tx *txs[PER_RUN];
    static int64_t sent[PER_RUN];
    for (int i = 0; i < total; i++)
        txs[i] = make_tx(ledger, number++);
    atomic_store(&answered, 0);
    int64_t start = clock_mono_us();
    for (int i = 0; i < total; i++) {
        while (i - atomic_load(&answered) >= depth)
            usleep(20);
        sent[i] = clock_mono_us();
        if (inline_)
            ledger_submit_inline(ledger, txs[i], count_answer, &sent[i]);
        else
            ledger_submit(ledger, txs[i], count_answer, &sent[i]);
    }
    while (atomic_load(&answered) < total)
        usleep(20);
    samples.count = (size_t)total;
    report(name, 1, clock_mono_us() - start, base);
}

int main(int argc, char **argv)
{
    struct scratch dir;
    scratch_make(&dir);
    if (argc > 1)
        snprintf(dir.path, sizeof(dir.path), "%s", argv[1]);
    if (argc > 2)
        seconds = atof(argv[2]);
    static const struct mode modes[] = {
        {"LMDB, full sync", 0, false, false},
        {"LMDB, no meta sync", MDB_NOMETASYNC, false, false},
        {"appended log + LMDB without sync", MDB_NOSYNC, true, false},
        {"pre-written log + LMDB, no sync", MDB_NOSYNC, true, true},
    };
    printf("%-34s %4s %10s %8s %8s %7s\n", "", "puts", "puts/s", "p50 us", "p99 us", "ratio");
    double base = 0, first;
    for (int puts = 1; puts <= 100; puts *= 100) {
        base = 0;
        for (size_t i = 0; i < 4; i++) {
            first = run_lmdb(dir.path, &modes[i], puts, base);
            base = base > 0 ? base : first;
        }
    }
    log_set_level(LOG_LEVEL_ERROR);
    struct ledger *ledger;
    struct ledger_options options = {.data_dir = dir.path};
    struct err err;
    if (ledger_open(&ledger, &options, &err) < 0 ||
        fixture_put(ledger, "namespaces", FIXTURE_NAMESPACE, "x", NULL, &err) < 0) {
        fprintf(stderr, "bench_commit: %s\n", err.message);
        return 1;
    }
    run_ledger(ledger, "ledger, 1 in flight, inline", 1, 3000, true, 0);
    run_ledger(ledger, "ledger, 1 in flight, queued", 1, 3000, false, 0);
    run_ledger(ledger, "ledger, 16 in flight", 16, 10000, false, 0);
    run_ledger(ledger, "ledger, 64 in flight", 64, PER_RUN, false, 0);
    run_ledger(ledger, "ledger, 256 in flight", 256, PER_RUN, false, 0);
    ledger_close(ledger);
    if (argc < 2)
        scratch_remove(&dir);
    return 0;
}
