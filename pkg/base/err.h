/*
 * Errors: a negative code and a message in a fixed buffer, made and returned in one expression:
 *
 *     return err_set(err, ERR_NOT_FOUND, "no block at height %llu", height);
 *
 * Reporting needs no memory. A caller that knows more puts it in front with err_wrap. The one table in
 * err.c maps each code to the HTTP status and the reason of a Kubernetes Status.
 *
 * A bug is an assert, never an err. Memory exhaustion ends the process (mem.h).
 */
#ifndef KATENA_BASE_ERR_H
#define KATENA_BASE_ERR_H

#define ERR_MESSAGE_MAX 2048

enum err_code {
    ERR_INTERNAL = -1,
    ERR_IO = -2,
    ERR_CORRUPT = -3,       /* stored or received bytes are not what their checksum or grammar says */
    ERR_NOT_FOUND = -4,     /* 404 NotFound */
    ERR_EXISTS = -5,        /* 409 AlreadyExists */
    ERR_CONFLICT = -6,      /* 409 Conflict */
    ERR_INVALID = -7,       /* 422 Invalid */
    ERR_BAD_REQUEST = -8,   /* 400 BadRequest */
    ERR_FORBIDDEN = -9,     /* 403 Forbidden */
    ERR_UNAUTHORIZED = -10, /* 401 Unauthorized */
    ERR_EXPIRED = -11,      /* 410 Expired: a resourceVersion that is compacted or on an orphaned branch */
    ERR_GONE = -12,         /* 410 Gone */
    ERR_TOO_LARGE = -13,    /* 413 RequestEntityTooLarge */
    ERR_MEDIA_TYPE = -14,   /* 415 UnsupportedMediaType */
    ERR_NOT_ACCEPTABLE = -15,
    ERR_METHOD = -16,      /* 405 MethodNotAllowed */
    ERR_TIMEOUT = -17,     /* 504 Timeout */
    ERR_UNAVAILABLE = -18, /* 503 ServiceUnavailable */
    ERR_TOO_MANY = -19,    /* 429 TooManyRequests */
    ERR_STALE = -20,       /* a direct input was consumed meanwhile: rebase and try again, else 409 */
    ERR_INCLUDED = -21,    /* the transaction is in the chain already: nothing is wrong, nothing to do */
};

struct err {
    int code; /* 0 or an enum err_code */
    char message[ERR_MESSAGE_MAX];
};

/* Fills err (which may be NULL) and returns code. A message that does not fit is cut. */
int err_set(struct err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As err_set with ERR_IO, with ": " and the text of errno behind the message. */
int err_set_errno(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "text: " in front of the message and returns the code that is there. */
int err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Forgets an earlier error. */
void err_clear(struct err *err);

/* The HTTP status of a code: 404 for ERR_NOT_FOUND; 500 for what has none. */
int err_http_status(int code);

/* The Kubernetes Status reason of a code: "NotFound"; "InternalError" for what has none. */
const char *err_reason(int code);

#endif
