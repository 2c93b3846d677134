/* See log_read.h. */
#include "kubelet/log_read.h"

#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK (64 * 1024)
/* How often a follower looks whether the container still runs. */
#define FOLLOW_CHECK_MS 200

bool log_parse(struct log_record *out, const char *line, size_t len)
{
    const char *end = line + len;
    const char *stream = memchr(line, ' ', len);
    if (!stream || (size_t)(stream - line) >= TIMEFMT_MAX + 8)
        return false;
    char time[TIMEFMT_MAX + 8];
    out->time = line;
    out->time_len = (size_t)(stream - line);
    memcpy(time, line, out->time_len);
    time[out->time_len] = '\0';
    stream++;
    if (!timefmt_parse(time, &out->time_us) || end - stream < 8)
        return false;
    out->is_stderr = memcmp(stream, "stderr ", 7) == 0;
    if (!out->is_stderr && memcmp(stream, "stdout ", 7) != 0)
        return false;
    const char *tags = stream + 7;
    const char *text = memchr(tags, ' ', (size_t)(end - tags));
    size_t tag_len = text ? strcspn(tags, ": ") : (size_t)(end - tags);
    if (tag_len != 1 || (*tags != 'F' && *tags != 'P'))
        return false;
    out->partial = *tags == 'P';
    out->text = text ? text + 1 : end;
    out->text_len = (size_t)(end - out->text);
    return true;
}

int64_t log_tail_offset(int fd, int64_t lines)
{
    char *chunk mem_auto = mem_alloc(CHUNK);
    int64_t end = lseek(fd, 0, SEEK_END), at = end, seen = 0;
    if (lines <= 0)
        return end;
    while (at > 0) {
        int64_t n = at < CHUNK ? at : CHUNK;
        at -= n;
        if (pread(fd, chunk, (size_t)n, at) != n)
            return 0;
        for (int64_t i = n - 1; i >= 0; i--) {
            if (chunk[i] != '\n' || at + i == end - 1)
                continue;
            if (++seen == lines)
                return at + i + 1;
        }
    }
    return 0;
}

struct reader {
    const struct log_read_options *options;
    int out_fd;
    int64_t left; /* bytes that may still be written; -1: any */
    bool middle;  /* the last record was partial */
    bool ended;   /* nobody reads any more, or the limit is reached */
};

/* Waits until the pipe takes bytes again; false: nobody reads it any more, or the reading is to end. */
static bool wait_writable(const struct reader *reader)
{
    struct pollfd out = {.fd = reader->out_fd, .events = POLLOUT};
    while (!reader->options->stop || !*reader->options->stop)
        if (poll(&out, 1, FOLLOW_CHECK_MS) > 0)
            return !(out.revents & (POLLERR | POLLNVAL));
    return false;
}

static void emit(struct reader *reader, const char *data, size_t len)
{
    if (reader->left >= 0 && (int64_t)len > reader->left)
        len = (size_t)reader->left;
    while (len > 0 && !reader->ended) {
        ssize_t n = write(reader->out_fd, data, len);
        if (n < 0 && (errno == EINTR || (errno == EAGAIN && wait_writable(reader))))
            continue;
        if (n < 0) {
            reader->ended = true;
            return;
        }
        data += n;
        len -= (size_t)n;
        if (reader->left >= 0)
            reader->left -= n;
    }
    if (reader->left == 0)
        reader->ended = true;
}

static void put_record(struct reader *reader, struct buf *out, const char *line, size_t len)
{
    struct log_record record;
    if (!log_parse(&record, line, len) || record.time_us < reader->options->since_time_us)
        return;
    if (reader->options->timestamps && !reader->middle) {
        buf_append(out, record.time, record.time_len);
        buf_putc(out, ' ');
    }
    buf_append(out, record.text, record.text_len);
    if (!record.partial)
        buf_putc(out, '\n');
    reader->middle = record.partial;
}

/* Reads from the file's position to its end; an unfinished line stays in rest. */
static void drain(struct reader *reader, int fd, struct buf *rest)
{
    struct buf out buf_auto = BUF_INIT;
    while (!reader->ended) {
        buf_reserve(rest, CHUNK);
        ssize_t n = read(fd, rest->data + rest->len, CHUNK);
        if (n <= 0)
            break;
        rest->len += (size_t)n;
        size_t start = 0;
        for (char *end; (end = memchr(rest->data + start, '\n', rest->len - start));
             start = (size_t)(end - rest->data) + 1)
            put_record(reader, &out, rest->data + start, (size_t)(end - rest->data) - start);
        buf_consume(rest, start);
        emit(reader, buf_str(&out), out.len);
        buf_clear(&out);
    }
}

static bool same_inode(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* Waits for more in the log; false: there will be none. */
static bool wait_for_more(const struct reader *reader, int notify_fd)
{
    struct pollfd fds[2] = {{.fd = notify_fd, .events = POLLIN}, {.fd = reader->out_fd, .events = 0}};
    for (;;) {
        bool running = reader->options->running(reader->options->arg);
        int n = poll(fds, 2, running ? FOLLOW_CHECK_MS : 0);
        if (fds[1].revents & (POLLERR | POLLHUP))
            return false;
        if (n > 0 && fds[0].revents) {
            char events[4096];
            return read(notify_fd, events, sizeof(events)) >= 0 || errno == EAGAIN;
        }
        if (!running)
            return false;
    }
}

static void follow(struct reader *reader, int *fd, const char *path, struct buf *rest)
{
    int notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    char *dir mem_auto = mem_strndup(path, (size_t)(strrchr(path, '/') - path));
    inotify_add_watch(notify_fd, dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO);
    do {
        drain(reader, *fd, rest);
        if (!same_inode(*fd, path)) {
            int next = open(path, O_RDONLY | O_CLOEXEC);
            if (next >= 0) {
                close(*fd);
                *fd = next;
                drain(reader, *fd, rest);
            }
        }
    } while (!reader->ended && wait_for_more(reader, notify_fd));
    drain(reader, *fd, rest);
    close(notify_fd);
}

void log_read(const char *path, const struct log_read_options *options, int out_fd)
{
    struct reader reader = {.options = options, .out_fd = out_fd, .left = options->limit_bytes};
    struct buf rest buf_auto = BUF_INIT;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (options->tail_lines >= 0)
        lseek(fd, log_tail_offset(fd, options->tail_lines), SEEK_SET);
    if (options->follow)
        follow(&reader, &fd, path, &rest);
    else
        drain(&reader, fd, &rest);
    close(fd);
}

void log_tail_text(char *out, size_t size, const char *path, int lines)
{
    struct log_read_options options = {.limit_bytes = -1};
    struct reader reader = {.options = &options, .out_fd = -1, .left = -1};
    struct buf text buf_auto = BUF_INIT;
    out[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    char *chunk mem_auto = mem_alloc(CHUNK);
    int64_t end = lseek(fd, 0, SEEK_END), at = log_tail_offset(fd, lines);
    if (end - at > CHUNK)
        at = end - CHUNK;
    ssize_t n = pread(fd, chunk, CHUNK, at);
    close(fd);
    for (ssize_t start = 0; start < n;) {
        char *eol = memchr(chunk + start, '\n', (size_t)(n - start));
        size_t len = eol ? (size_t)(eol - chunk - start) : (size_t)(n - start);
        put_record(&reader, &text, chunk + start, len);
        start += (ssize_t)len + 1;
    }
    size_t skip = text.len >= size ? text.len - size + 1 : 0;
    memcpy(out, buf_str(&text) + skip, text.len - skip);
    out[text.len - skip] = '\0';
}
