/*
 * Reading container logs in the format of CRI runtimes: one record a line,
 *
 *     2016-10-06T00:17:09.669794202Z stdout F the text
 *
 * where P instead of F says that the record is the beginning of a line whose rest follows in the next.
 */
#ifndef KATENA_KUBELET_LOG_READ_H
#define KATENA_KUBELET_LOG_READ_H

#include "base/buf.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_record {
    const char *time; /* the time's text, not terminated */
    size_t time_len;
    int64_t time_us;
    bool is_stderr;
    bool partial;
    const char *text; /* without the line's end */
    size_t text_len;
};

/* Parses one line (without its newline). False: it is none of the format. */
bool log_parse(struct log_record *out, const char *line, size_t len);

struct log_read_options {
    bool timestamps;
    int64_t tail_lines;    /* -1: all */
    int64_t limit_bytes;   /* -1: all */
    int64_t since_time_us; /* 0: all */
    bool follow;
    /* While following: whether more may come. */
    bool (*running)(void *arg);
    void *arg;
    const atomic_bool *stop; /* ends the reading, whatever the reader of out_fd does; may be NULL */
};

/* Writes the log at path to out_fd, until its end, or with follow until the container has ended or the reader
 * of out_fd has gone away. */
void log_read(const char *path, const struct log_read_options *options, int out_fd);

/* The last lines of a log as one text of less than size bytes. */
void log_tail_text(char *out, size_t size, const char *path, int lines);

/* The offset at which the last `lines` lines of a file begin. */
int64_t log_tail_offset(int fd, int64_t lines);

#endif
