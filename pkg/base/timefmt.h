/* Times as Kubernetes writes them: RFC 3339 in UTC, metav1.Time by the second, MicroTime by the microsecond.
 */
#ifndef KATENA_BASE_TIMEFMT_H
#define KATENA_BASE_TIMEFMT_H

#include <stdbool.h>
#include <stdint.h>

#define TIMEFMT_MAX 32

/* "2026-11-23T04:29:00Z" from seconds since 1970. Locale-free. */
void timefmt_seconds(char out[TIMEFMT_MAX], int64_t unix_s);

/* "2026-11-23T04:29:00.000000Z" from microseconds since 1970. */
void timefmt_micro(char out[TIMEFMT_MAX], int64_t unix_us);

/* Parses any RFC 3339 time, with fraction and offset. Returns false and leaves *unix_us when it is none. */
bool timefmt_parse(const char *text, int64_t *unix_us);

/* A duration as Kubernetes prints ages: "5s", "3m12s", "4h", "2d3h". */
void timefmt_age(char out[TIMEFMT_MAX], int64_t seconds);

/* Parses a duration: numbers with units ms, s, m, h or d ("90s", "1h30m"); a number alone counts seconds.
 * False for anything else, and for one of more than 100 years. */
bool timefmt_duration(const char *text, int64_t *us);

#endif
