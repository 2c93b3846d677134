/*
 * The log of a node: one line per event on standard error, "time level component: text".
 * Edges log; the pure core reports through its results.
 */
#ifndef KATENA_BASE_LOG_H
#define KATENA_BASE_LOG_H

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* The lowest level that is written; LOG_LEVEL_INFO until set. Any thread. */
void log_set_level(enum log_level level);

/* Writes one line; component is a short name such as "kubelet". Any thread. */
void log_write(enum log_level level, const char *component, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
