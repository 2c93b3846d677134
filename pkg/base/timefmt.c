/* See timefmt.h. The calendar arithmetic is ours so that no time zone or locale of the host enters. */
#include "base/timefmt.h"

#include <stdio.h>
#include <string.h>

#define US_PER_S 1000000

/* Days since 1970-01-01 of a proleptic Gregorian date; years begin in March so that leap days come last. */
static int64_t days_from_civil(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t yoe = year - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static void civil_from_days(int64_t days, int64_t *year, int *month, int *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = yoe + era * 400 + (*month <= 2);
}

static char *put_digits(char *out, int value, int count, char end)
{
    for (int i = count; i-- > 0; value /= 10)
        out[i] = (char)('0' + value % 10);
    out[count] = end;
    return out + count + 1;
}

/* By hand, since every write has several of them: printf takes ten times as long. Returns the length. */
static int format_date_time(char out[TIMEFMT_MAX], int64_t unix_s)
{
    int64_t days = unix_s / 86400;
    int64_t rest = unix_s % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    int64_t year;
    int month, day;
    civil_from_days(days, &year, &month, &day);
    if (year < 0 || year > 9999)
        return snprintf(out, TIMEFMT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", (int)year, month, day,
                        (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
    char *p = put_digits(out, (int)year, 4, '-');
    p = put_digits(p, month, 2, '-');
    p = put_digits(p, day, 2, 'T');
    p = put_digits(p, (int)(rest / 3600), 2, ':');
    p = put_digits(p, (int)(rest / 60 % 60), 2, ':');
    p = put_digits(p, (int)(rest % 60), 2, '\0');
    return (int)(p - 1 - out);
}

void timefmt_seconds(char out[TIMEFMT_MAX], int64_t unix_s)
{
    int n = format_date_time(out, unix_s);
    if (n + 1 < TIMEFMT_MAX)
        memcpy(out + n, "Z", 2);
}

void timefmt_micro(char out[TIMEFMT_MAX], int64_t unix_us)
{
    int64_t s = unix_us / US_PER_S;
    int64_t us = unix_us % US_PER_S;
    if (us < 0) {
        us += US_PER_S;
        s--;
    }
    int n = format_date_time(out, s);
    snprintf(out + n, TIMEFMT_MAX - (size_t)n, ".%06dZ", (int)us);
}

static bool parse_digits(const char **p, int count, int *value)
{
    *value = 0;
    for (int i = 0; i < count; i++, (*p)++) {
        if (**p < '0' || **p > '9')
            return false;
        *value = *value * 10 + (**p - '0');
    }
    return true;
}

static bool parse_char(const char **p, const char *accepted)
{
    if (!**p || !strchr(accepted, **p))
        return false;
    (*p)++;
    return true;
}

static bool parse_fraction(const char **p, int *us)
{
    *us = 0;
    if (**p != '.')
        return true;
    (*p)++;
    int scale = US_PER_S / 10;
    int digits = 0;
    for (; **p >= '0' && **p <= '9'; (*p)++, digits++) {
        *us += (**p - '0') * scale;
        scale /= 10;
    }
    return digits > 0;
}

static bool parse_offset(const char **p, int64_t *offset_s)
{
    *offset_s = 0;
    if (parse_char(p, "Zz"))
        return true;
    int sign = **p == '-' ? -1 : 1;
    int hours, minutes;
    if (!parse_char(p, "+-") || !parse_digits(p, 2, &hours) || !parse_char(p, ":") ||
        !parse_digits(p, 2, &minutes))
        return false;
    *offset_s = sign * (hours * 3600 + minutes * 60);
    return hours < 24 && minutes < 60;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

bool timefmt_parse(const char *text, int64_t *unix_us)
{
    const char *p = text;
    int year, month, day, hour, minute, second, us;
    int64_t offset_s;
    if (!parse_digits(&p, 4, &year) || !parse_char(&p, "-") || !parse_digits(&p, 2, &month) ||
        !parse_char(&p, "-") || !parse_digits(&p, 2, &day) || !parse_char(&p, "Tt") ||
        !parse_digits(&p, 2, &hour) || !parse_char(&p, ":") || !parse_digits(&p, 2, &minute) ||
        !parse_char(&p, ":") || !parse_digits(&p, 2, &second) || !parse_fraction(&p, &us) ||
        !parse_offset(&p, &offset_s) || *p)
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 ||
        second > 59)
        return false;
    int64_t s = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset_s;
    *unix_us = s * US_PER_S + us;
    return true;
}

/* The rounding is kubectl's: the further back, the coarser. */
void timefmt_age(char out[TIMEFMT_MAX], int64_t seconds)
{
    long long s = seconds;
    if (s < -1)
        snprintf(out, TIMEFMT_MAX, "<invalid>");
    else if (s < 0)
        snprintf(out, TIMEFMT_MAX, "0s");
    else if (s < 120)
        snprintf(out, TIMEFMT_MAX, "%llds", s);
    else if (s < 600 && s % 60)
        snprintf(out, TIMEFMT_MAX, "%lldm%llds", s / 60, s % 60);
    else if (s < 3 * 3600)
        snprintf(out, TIMEFMT_MAX, "%lldm", s / 60);
    else if (s < 8 * 3600 && s / 60 % 60)
        snprintf(out, TIMEFMT_MAX, "%lldh%lldm", s / 3600, s / 60 % 60);
    else if (s < 48 * 3600)
        snprintf(out, TIMEFMT_MAX, "%lldh", s / 3600);
    else if (s < 8 * 86400 && s / 3600 % 24)
        snprintf(out, TIMEFMT_MAX, "%lldd%lldh", s / 86400, s / 3600 % 24);
    else if (s < 2 * 365 * 86400LL)
        snprintf(out, TIMEFMT_MAX, "%lldd", s / 86400);
    else if (s < 8 * 365 * 86400LL && s / 86400 % 365)
        snprintf(out, TIMEFMT_MAX, "%lldy%lldd", s / 86400 / 365, s / 86400 % 365);
    else
        snprintf(out, TIMEFMT_MAX, "%lldy", s / 86400 / 365);
}

/* The unit at p and its length; 0 when there is none. */
static int64_t unit_us(const char *p, size_t *len)
{
    static const struct {
        const char *name;
        int64_t us;
    } units[] = {{"ms", 1000},
                 {"s", US_PER_S},
                 {"m", 60LL * US_PER_S},
                 {"h", 3600LL * US_PER_S},
                 {"d", 86400LL * US_PER_S}};
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        *len = strlen(units[i].name);
        if (strncmp(p, units[i].name, *len) == 0)
            return units[i].us;
    }
    *len = 0;
    return 0;
}

bool timefmt_duration(const char *text, int64_t *us)
{
    const int64_t most = 100 * 366 * 86400LL * US_PER_S;
    int64_t total = 0;
    const char *p = text;
    if (!*p)
        return false;
    while (*p) {
        int64_t n = 0;
        const char *digits = p;
        for (; *p >= '0' && *p <= '9' && n < most; p++)
            n = n * 10 + (*p - '0');
        size_t len;
        int64_t unit = unit_us(p, &len);
        if (p != digits && !*p && digits == text)
            unit = US_PER_S;
        if (p == digits || !unit || n > (most - total) / unit)
            return false;
        total += n * unit;
        p += len;
    }
    *us = total;
    return true;
}
