/* See log.h. */
#include "base/log.h"

#include "base/timefmt.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX 4096

static atomic_int log_level_min = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    log_level_min = (int)level;
}

void log_write(enum log_level level, const char *component, const char *format, ...)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    if ((int)level < log_level_min)
        return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    char stamp[TIMEFMT_MAX];
    timefmt_micro(stamp, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);

    /* One write per line, so that lines of several threads never mix. */
    char line[LOG_LINE_MAX];
    int n = snprintf(line, sizeof(line), "%s %s %s: ", stamp, names[level], component);
    va_list args;
    va_start(args, format);
    int m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, args);
    va_end(args);
    size_t len = strnlen(line, sizeof(line) - 1);
    if (m < 0)
        return;
    line[len] = '\n';
    ssize_t written = write(STDERR_FILENO, line, len + 1);
    (void)written; /* a log that cannot be written has nowhere to be reported */
}
