/* The block log: framing, growth, and what is left of it after cuts and damage. */
#include "unit.h"
#include "scratch.h"

#include "base/mem.h"
#include "base/rand.h"
#include "blockstore/blocklog.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#define SMALL_SEGMENT 4096

/* The bytes of record seq: of a length and content that follow from it. */
static size_t record_make(uint8_t *out, uint64_t seq)
{
    size_t len = 1 + (size_t)(seq * 37 % 200);
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(seq * 7 + i);
    return len;
}

struct seen {
    uint64_t first, next;
    size_t count;
    struct blocklog_pos at[512];
};

static uint8_t type_of(uint64_t seq)
{
    return (uint8_t)(seq * 89);
}

static int see(void *arg, const struct blocklog_record *record, struct err *err)
{
    (void)err;
    struct seen *seen = arg;
    uint8_t expected[256];
    assert_int_equal(record->len, record_make(expected, record->seq));
    assert_memory_equal(record->bytes, expected, record->len);
    assert_int_equal(record->type, type_of(record->seq));
    if (!seen->count)
        seen->first = record->seq;
    else
        assert_int_equal(record->seq, seen->next);
    seen->at[seen->count++] = record->pos;
    seen->next = record->seq + 1;
    return 0;
}

/* In two parts, or one when it is short. */
static int append(struct blocklog *log, uint64_t seq, const uint8_t *bytes, size_t len,
                  struct blocklog_pos *pos, struct err *err)
{
    assert_int_equal(blocklog_next_seq(log), seq);
    size_t first = len > 8 ? len / 3 : 0;
    struct iovec parts[2] = {{.iov_base = (void *)bytes, .iov_len = first},
                             {.iov_base = (void *)(bytes + first), .iov_len = len - first}};
    return blocklog_append(log, type_of(seq), parts + !first, first ? 2 : 1, pos, err);
}

static int open_and_recover(struct blocklog **log, const char *dir, struct seen *seen, struct err *err)
{
    struct blocklog_options options = {.dir = dir, .first_segment = SMALL_SEGMENT};
    *log = NULL;
    *seen = (struct seen){0};
    int rc = blocklog_open(log, &options, err);
    if (!rc)
        rc = blocklog_recover(*log, (struct blocklog_pos){0, 0}, 0, see, seen, err);
    if (rc) {
        blocklog_close(*log);
        *log = NULL;
    }
    return rc;
}

static void append_range(struct blocklog *log, uint64_t from, uint64_t to)
{
    uint8_t bytes[256];
    struct blocklog_pos pos;
    struct err err;
    for (uint64_t seq = from; seq < to; seq++)
        assert_int_equal(append(log, seq, bytes, record_make(bytes, seq), &pos, &err), 0);
}

static void write_log(const char *dir, uint64_t records)
{
    struct blocklog *log;
    struct seen seen;
    struct err err;
    assert_int_equal(open_and_recover(&log, dir, &seen, &err), 0);
    append_range(log, seen.next, seen.next + records);
    blocklog_close(log);
}

static void test_append_and_recover(void **state)
{
    (void)state;
    struct scratch dir;
    scratch_make_in_memory(&dir);
    write_log(dir.path, 100);
    struct blocklog *log;
    struct seen seen;
    struct err err;
    assert_int_equal(open_and_recover(&log, dir.path, &seen, &err), 0);
    assert_int_equal(seen.count, 100);
    assert_true(seen.at[99].segment > 2);
    struct blocklog_record found;
    buf_auto struct buf bytes = BUF_INIT;
    uint8_t expected[256];
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(blocklog_read(log, seen.at[i], &found, &bytes, &err), 0);
        assert_int_equal(found.seq, i);
        assert_int_equal(found.type, type_of(i));
        assert_int_equal(bytes.len, record_make(expected, i));
        assert_memory_equal(bytes.data, expected, bytes.len);
    }
    struct blocklog_pos off = {seen.at[3].segment, seen.at[3].offset + 8};
    assert_int_equal(blocklog_read(log, off, &found, &bytes, &err), ERR_CORRUPT);
    assert_int_equal(blocklog_read(log, (struct blocklog_pos){0, 0}, &found, &bytes, &err), ERR_GONE);
    append_range(log, 100, 120);
    blocklog_close(log);
    assert_int_equal(open_and_recover(&log, dir.path, &seen, &err), 0);
    assert_int_equal(seen.count, 120);
    blocklog_close(log);
    scratch_remove(&dir);
}

static void test_recover_from_a_place(void **state)
{
    (void)state;
    struct scratch dir;
    scratch_make_in_memory(&dir);
    write_log(dir.path, 60);
    struct blocklog *log;
    struct seen seen, tail = {0};
    struct err err;
    assert_int_equal(open_and_recover(&log, dir.path, &seen, &err), 0);
    assert_int_equal(blocklog_recover(log, seen.at[40], 40, see, &tail, &err), 0);
    assert_int_equal(tail.first, 40);
    assert_int_equal(tail.count, 20);
    blocklog_close(log);
    scratch_remove(&dir);
}

static void test_undo(void **state)
{
    (void)state;
    struct scratch dir;
    scratch_make_in_memory(&dir);
    struct blocklog *log;
    struct seen seen;
    struct err err;
    assert_int_equal(open_and_recover(&log, dir.path, &seen, &err), 0);
    append_range(log, 0, 10);
    struct blocklog_pos before = blocklog_end(log);
    append_range(log, 10, 11);
    assert_int_equal(blocklog_undo(log, &err), 0);
    assert_int_equal(blocklog_end(log).offset, before.offset);
    append_range(log, 10, 12);
    /* One that was begun and is not to be. */
    struct iovec part = {.iov_base = (void *)"begun", .iov_len = 5};
    struct blocklog_pos pos;
    before = blocklog_end(log);
    assert_int_equal(blocklog_begin(log, 1, &part, 1, &pos, &err), 0);
    assert_int_equal(pos.offset, before.offset);
    assert_int_equal(blocklog_undo(log, &err), 0);
    assert_int_equal(blocklog_end(log).offset, before.offset);
    assert_int_equal(blocklog_next_seq(log), 12);
    blocklog_close(log);
    assert_int_equal(open_and_recover(&log, dir.path, &seen, &err), 0);
    assert_int_equal(seen.count, 12);
    blocklog_close(log);
    scratch_remove(&dir);
}

static void test_large_record(void **state)
{
    (void)state;
    struct scratch dir;
    scratch_make_in_memory(&dir);
    struct blocklog *log;
    struct seen seen;
    struct err err;
    size_t len = 1u << 20;
    mem_auto uint8_t *big = mem_alloc(len);
    memset(big, 0xa5, len);
    struct blocklog_pos pos;
    assert_int_equal(open_and_recover(&log, dir.path, &seen, &err), 0);
    append_range(log, 0, 1);
    assert_int_equal(blocklog_prepare_next(log, &err), 0); /* smaller than what comes */
    assert_int_equal(append(log, 1, big, len, &pos, &err), 0);
    append_range(log, 2, 5);
    struct blocklog_record found;
    buf_auto struct buf bytes = BUF_INIT;
    assert_int_equal(blocklog_read(log, pos, &found, &bytes, &err), 0);
    assert_int_equal(bytes.len, len);
    assert_memory_equal(bytes.data, big, len);
    blocklog_close(log);
    scratch_remove(&dir);
}

static void copy_file(const char *from, const char *to, size_t limit)
{
    mem_auto uint8_t *bytes = mem_alloc(1u << 20);
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(in >= 0 && out >= 0);
    ssize_t n = read(in, bytes, 1u << 20);
    size_t len = (size_t)n < limit ? (size_t)n : limit;
    assert_int_equal(write(out, bytes, len), (ssize_t)len);
    close(in);
    close(out);
}

/* Cut at every byte, by the end of the file and by zeros from there on: what was whole before the cut is
 * recovered, nothing else, and the log goes on from there. */
static void cut_everywhere(bool zeros)
{
    struct scratch dir, cut;
    scratch_make_in_memory(&dir);
    scratch_make_in_memory(&cut);
    write_log(dir.path, 14); /* within the first segment */
    struct blocklog *log;
    struct seen whole, seen;
    struct err err;
    assert_int_equal(open_and_recover(&log, dir.path, &whole, &err), 0);
    blocklog_close(log);
    mem_auto char *from = mem_strdup(scratch_file(&dir, "log-00000001.seg"));
    mem_auto char *to = mem_strdup(scratch_file(&cut, "log-00000001.seg"));
    for (size_t at = BLOCKLOG_HEADER_SIZE; at <= SMALL_SEGMENT; at++) {
        copy_file(from, to, at);
        if (zeros)
            assert_int_equal(truncate(to, SMALL_SEGMENT), 0);
        size_t expected = 0;
        for (; expected < whole.count; expected++) {
            uint8_t bytes[256];
            /* With zeros, a record that ends in zeros of its own may survive a cut within them: content
             * that is equal is whole. */
            size_t len = record_make(bytes, expected);
            while (zeros && len && !bytes[len - 1])
                len--;
            if (whole.at[expected].offset + BLOCKLOG_FRAME_SIZE + len > at)
                break;
        }
        assert_int_equal(open_and_recover(&log, cut.path, &seen, &err), 0);
        assert_int_equal(seen.count, expected);
        append_range(log, expected, expected + 2);
        blocklog_close(log);
        assert_int_equal(open_and_recover(&log, cut.path, &seen, &err), 0);
        assert_int_equal(seen.count, expected + 2);
        blocklog_close(log);
        unlink(scratch_file(&cut, "log-00000002.seg"));
    }
    scratch_remove(&dir);
    scratch_remove(&cut);
}

static void test_cut_at_every_byte(void **state)
{
    (void)state;
    cut_everywhere(false);
}

static void test_zeros_from_every_byte(void **state)
{
    (void)state;
    cut_everywhere(true);
}

static void flip(const char *path, uint64_t offset)
{
    int fd = open(path, O_RDWR);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

/* A flipped bit anywhere: in the newest record it looks like a torn write; before that it is damage, and no
 * record behind it is dropped in silence. */
static void test_flip_every_byte(void **state)
{
    (void)state;
    struct scratch dir, hurt;
    scratch_make_in_memory(&dir);
    scratch_make_in_memory(&hurt);
    write_log(dir.path, 8);
    struct blocklog *log;
    struct seen whole, seen;
    struct err err;
    assert_int_equal(open_and_recover(&log, dir.path, &whole, &err), 0);
    blocklog_close(log);
    uint8_t bytes[256];
    const char *from = scratch_file(&dir, "log-00000001.seg"), *to = scratch_file(&hurt, "log-00000001.seg");
    uint64_t last = whole.at[7].offset, end = last + BLOCKLOG_FRAME_SIZE + record_make(bytes, 7);
    for (uint64_t at = 0; at < end; at++) {
        copy_file(from, to, SMALL_SEGMENT);
        flip(to, at);
        int rc = open_and_recover(&log, hurt.path, &seen, &err);
        bool padding = at >= BLOCKLOG_HEADER_SIZE && at < last;
        for (size_t i = 0; i < 7; i++)
            if (at >= whole.at[i].offset &&
                at < whole.at[i].offset + BLOCKLOG_FRAME_SIZE + record_make(bytes, i))
                padding = false;
        if (padding)
            assert_int_equal(seen.count, 8);
        else if (at < last)
            assert_int_equal(rc, ERR_CORRUPT);
        else
            assert_int_equal(seen.count, 7);
        blocklog_close(log);
    }
    scratch_remove(&dir);
    scratch_remove(&hurt);
}

static void test_damage_before_a_later_segment(void **state)
{
    (void)state;
    struct scratch dir;
    scratch_make_in_memory(&dir);
    write_log(dir.path, 40);
    struct blocklog *log;
    struct seen seen;
    struct err err;
    assert_int_equal(open_and_recover(&log, dir.path, &seen, &err), 0);
    blocklog_close(log);
    size_t i = 0;
    while (seen.at[i + 1].segment == 1)
        i++;
    flip(scratch_file(&dir, "log-00000001.seg"), seen.at[i].offset + 40); /* the last record of segment 1 */
    assert_int_equal(open_and_recover(&log, dir.path, &seen, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.message, "damaged at record"));
    scratch_remove(&dir);
}

/* The first record of the newest segment, whether flipped or wiped. */
static void test_damage_at_a_segment_start(void **state)
{
    (void)state;
    struct scratch dir;
    scratch_make_in_memory(&dir);
    write_log(dir.path, 60);
    struct blocklog *log;
    struct seen seen;
    struct err err;
    assert_int_equal(open_and_recover(&log, dir.path, &seen, &err), 0);
    blocklog_close(log);
    size_t first = 0;
    while (seen.at[first].segment == 1)
        first++;
    assert_true(seen.at[59].segment == 2 && first < 55);
    mem_auto char *path = mem_strdup(scratch_file(&dir, "log-00000002.seg"));
    flip(path, seen.at[first].offset + 3);
    assert_int_equal(open_and_recover(&log, dir.path, &seen, &err), ERR_CORRUPT);
    static const uint8_t zeros[64];
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, zeros, sizeof(zeros), BLOCKLOG_HEADER_SIZE), sizeof(zeros));
    close(fd);
    assert_int_equal(open_and_recover(&log, dir.path, &seen, &err), ERR_CORRUPT);
    scratch_remove(&dir);
}

static void test_missing_and_exchanged_segments(void **state)
{
    (void)state;
    struct scratch dir;
    scratch_make_in_memory(&dir);
    write_log(dir.path, 160);
    struct blocklog *log;
    struct seen seen;
    struct err err;
    assert_int_equal(rename(scratch_file(&dir, "log-00000002.seg"), scratch_file(&dir, "aside")), 0);
    assert_int_equal(open_and_recover(&log, dir.path, &seen, &err), ERR_CORRUPT);
    assert_int_equal(rename(scratch_file(&dir, "log-00000001.seg"), scratch_file(&dir, "log-00000002.seg")),
                     0);
    assert_int_equal(rename(scratch_file(&dir, "aside"), scratch_file(&dir, "log-00000001.seg")), 0);
    assert_int_equal(open_and_recover(&log, dir.path, &seen, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.message, "exchanged"));
    scratch_remove(&dir);
}

static void test_oldest_and_remove(void **state)
{
    (void)state;
    struct scratch dir;
    scratch_make_in_memory(&dir);
    write_log(dir.path, 100);
    struct blocklog *log;
    struct seen seen;
    struct err err;
    struct blocklog_record found;
    buf_auto struct buf bytes = BUF_INIT;
    assert_int_equal(open_and_recover(&log, dir.path, &seen, &err), 0);
    assert_int_equal(blocklog_read(log, seen.at[0], &found, &bytes, &err), 0);
    assert_int_equal(blocklog_remove(log, 1, &err), 0);
    assert_int_equal(blocklog_oldest(log), 2);
    assert_int_equal(blocklog_read(log, seen.at[0], &found, &bytes, &err), ERR_GONE);
    blocklog_close(log);
    assert_int_equal(open_and_recover(&log, dir.path, &seen, &err), 0);
    assert_int_equal(seen.next, 100);
    assert_true(seen.first > 0);
    blocklog_close(log);
    scratch_remove(&dir);
}

struct reader {
    struct blocklog *log;
    _Atomic uint32_t segment; /* 0: enough */
};

static void *read_all_the_time(void *arg)
{
    struct reader *reader = arg;
    struct blocklog_record found;
    buf_auto struct buf bytes = BUF_INIT;
    struct err err;
    for (uint32_t segment; (segment = reader->segment);)
        blocklog_read(reader->log, (struct blocklog_pos){segment, BLOCKLOG_HEADER_SIZE}, &found, &bytes,
                      &err);
    return NULL;
}

/* It is gone for whoever was just reading it, too. */
static void test_remove_while_it_is_read(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        struct scratch dir;
        scratch_make_in_memory(&dir);
        write_log(dir.path, 400);
        struct reader reader = {.segment = 1};
        struct seen seen;
        struct err err;
        struct blocklog_record found;
        buf_auto struct buf bytes = BUF_INIT;
        pthread_t thread;
        assert_int_equal(open_and_recover(&reader.log, dir.path, &seen, &err), 0);
        uint32_t current = blocklog_end(reader.log).segment;
        assert_true(current > 2);
        assert_int_equal(pthread_create(&thread, NULL, read_all_the_time, &reader), 0);
        for (uint32_t segment = 1; segment < current; segment++) {
            reader.segment = segment;
            usleep(200);
            assert_int_equal(blocklog_remove(reader.log, segment, &err), 0);
            struct blocklog_pos first = {segment, BLOCKLOG_HEADER_SIZE};
            assert_int_equal(blocklog_read(reader.log, first, &found, &bytes, &err), ERR_GONE);
        }
        reader.segment = 0;
        pthread_join(thread, NULL);
        blocklog_close(reader.log);
        scratch_remove(&dir);
    }
}

/* A full disk: a file size limit makes writing the next segment fail as ENOSPC does. */
static void test_no_room_for_a_segment(void **state)
{
    (void)state;
    struct scratch dir;
    scratch_make_in_memory(&dir);
    struct blocklog *log;
    struct seen seen;
    struct err err;
    assert_int_equal(open_and_recover(&log, dir.path, &seen, &err), 0);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = SMALL_SEGMENT;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    uint8_t bytes[256];
    struct blocklog_pos pos;
    uint64_t seq = 0;
    int rc;
    while (!(rc = append(log, seq, bytes, record_make(bytes, seq), &pos, &err)))
        seq++;
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(rc, ERR_IO);
    /* With room again it goes on, and nothing of what was accepted is missing. */
    append_range(log, seq, seq + 3);
    blocklog_close(log);
    assert_int_equal(open_and_recover(&log, dir.path, &seen, &err), 0);
    assert_int_equal(seen.count, seq + 3);
    blocklog_close(log);
    scratch_remove(&dir);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_append_and_recover),
    cmocka_unit_test(test_recover_from_a_place),
    cmocka_unit_test(test_undo),
    cmocka_unit_test(test_large_record),
    cmocka_unit_test(test_cut_at_every_byte),
    cmocka_unit_test(test_zeros_from_every_byte),
    cmocka_unit_test(test_flip_every_byte),
    cmocka_unit_test(test_damage_before_a_later_segment),
    cmocka_unit_test(test_damage_at_a_segment_start),
    cmocka_unit_test(test_missing_and_exchanged_segments),
    cmocka_unit_test(test_oldest_and_remove),
    cmocka_unit_test(test_remove_while_it_is_read),
    cmocka_unit_test(test_no_room_for_a_segment),
};

UNIT_MAIN(tests)
