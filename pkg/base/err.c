/* See err.h. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int code;
    int status;
    const char *reason;
} err_table[] = {
    {ERR_INTERNAL, 500, "InternalError"},
    {ERR_IO, 500, "InternalError"},
    {ERR_CORRUPT, 500, "InternalError"},
    {ERR_NOT_FOUND, 404, "NotFound"},
    {ERR_EXISTS, 409, "AlreadyExists"},
    {ERR_CONFLICT, 409, "Conflict"},
    {ERR_STALE, 409, "Conflict"},
    {ERR_INCLUDED, 409, "Conflict"},
    {ERR_INVALID, 422, "Invalid"},
    {ERR_BAD_REQUEST, 400, "BadRequest"},
    {ERR_FORBIDDEN, 403, "Forbidden"},
    {ERR_UNAUTHORIZED, 401, "Unauthorized"},
    {ERR_EXPIRED, 410, "Expired"},
    {ERR_GONE, 410, "Gone"},
    {ERR_TOO_LARGE, 413, "RequestEntityTooLarge"},
    {ERR_MEDIA_TYPE, 415, "UnsupportedMediaType"},
    {ERR_NOT_ACCEPTABLE, 406, "NotAcceptable"},
    {ERR_METHOD, 405, "MethodNotAllowed"},
    {ERR_TIMEOUT, 504, "Timeout"},
    {ERR_UNAVAILABLE, 503, "ServiceUnavailable"},
    {ERR_TOO_MANY, 429, "TooManyRequests"},
};

/* Puts ": text" behind the first n bytes of the message, cut where it does not fit. */
static void append_detail(struct err *err, int n, const char *text)
{
    size_t room = sizeof(err->message) - 1;
    size_t len = n < 0 ? 0 : (size_t)n > room ? room : (size_t)n;
    for (const char *p = ": "; *p && len < room; p++)
        err->message[len++] = *p;
    for (const char *p = text; *p && len < room; p++)
        err->message[len++] = *p;
    err->message[len] = '\0';
}

int err_set(struct err *err, int code, const char *format, ...)
{
    if (!err)
        return code;
    err->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    return code;
}

int err_set_errno(struct err *err, const char *format, ...)
{
    int saved = errno;
    if (!err)
        return ERR_IO;
    err->code = ERR_IO;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    append_detail(err, n, strerror(saved));
    return ERR_IO;
}

int err_wrap(struct err *err, const char *format, ...)
{
    if (!err)
        return ERR_INTERNAL;
    char inner[ERR_MESSAGE_MAX];
    memcpy(inner, err->message, sizeof(inner));
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    append_detail(err, n, inner);
    return err->code;
}

void err_clear(struct err *err)
{
    if (!err)
        return;
    err->code = 0;
    err->message[0] = '\0';
}

int err_http_status(int code)
{
    for (size_t i = 0; i < sizeof(err_table) / sizeof(err_table[0]); i++)
        if (err_table[i].code == code)
            return err_table[i].status;
    return 500;
}

const char *err_reason(int code)
{
    for (size_t i = 0; i < sizeof(err_table) / sizeof(err_table[0]); i++)
        if (err_table[i].code == code)
            return err_table[i].reason;
    return "InternalError";
}
