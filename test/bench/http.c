/* See load.h: the HTTP side. */
#include "load.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void load_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

void http_open(struct http_connection *c, const struct target *target)
{
    *c = (struct http_connection){0};
    transport_open(&c->transport, target, "http/1.1");
}

void http_close(struct http_connection *c)
{
    transport_close(&c->transport);
    free(c->buffer);
}

bool http_read_more(struct http_connection *c)
{
    if (c->capacity - c->length < 16384) {
        c->capacity = c->capacity ? c->capacity * 2 : 65536;
        c->buffer = mem_realloc(c->buffer, c->capacity + 1);
    }
    size_t n = transport_take(&c->transport, c->buffer + c->length, c->capacity - c->length);
    c->length += n;
    c->buffer[c->length] = '\0';
    return n > 0;
}

void http_send_get(struct http_connection *c, const char *path)
{
    char head[1024];
    int n = snprintf(head, sizeof(head),
                     "GET %s HTTP/1.1\r\nHost: katena\r\nAccept: application/json\r\n\r\n", path);
    transport_send(&c->transport, head, (size_t)n);
}

/* The length of a chunked body that is whole in the text, moved together in place; -1 when more is to come.
 */
static ssize_t join_chunks(char *text, size_t len)
{
    /* First look whether the last chunk is there, then move. */
    size_t at = 0;
    for (;;) {
        char *line = memmem(text + at, len - at, "\r\n", 2);
        if (!line)
            return -1;
        size_t size = strtoul(text + at, NULL, 16);
        at = (size_t)(line - text) + 2 + size + 2;
        if (at > len)
            return -1;
        if (!size)
            break;
    }
    size_t out = 0;
    for (at = 0;;) {
        size_t size = strtoul(text + at, NULL, 16);
        if (!size)
            return (ssize_t)out;
        at = (size_t)((char *)memmem(text + at, len - at, "\r\n", 2) - text) + 2;
        memmove(text + out, text + at, size);
        out += size;
        at += size + 2;
    }
}

static int read_answer(struct http_connection *c, size_t *answer, size_t *answer_len)
{
    char *end = NULL;
    c->length = 0;
    while (!end) {
        if (!http_read_more(c))
            load_fail("the server closed the connection");
        end = memmem(c->buffer, c->length, "\r\n\r\n", 4);
    }
    int status = atoi(c->buffer + 9);
    *answer = (size_t)(end - c->buffer) + 4;
    char *length = strcasestr(c->buffer, "\r\ncontent-length:");
    if (length && length < end) {
        *answer_len = strtoul(length + 17, NULL, 10);
        while (c->length < *answer + *answer_len)
            if (!http_read_more(c))
                load_fail("the answer is cut");
        return status;
    }
    for (ssize_t n;
         (n = join_chunks(c->buffer + *answer, c->length - *answer)) < 0 || (*answer_len = (size_t)n, 0);)
        if (!http_read_more(c))
            load_fail("the answer is cut");
    return status;
}

int http_call(struct http_connection *c, const char *method, const char *path, const char *content_type,
              const void *body, size_t body_len, size_t *answer, size_t *answer_len)
{
    char request[8192];
    int n = snprintf(request, sizeof(request),
                     "%s %s HTTP/1.1\r\nHost: katena\r\nAccept: application/json\r\nContent-Type: %s\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     method, path, content_type, body_len);
    if ((size_t)n + body_len > sizeof(request))
        load_fail("the request is too long");
    if (body_len)
        memcpy(request + n, body, body_len);
    transport_send(&c->transport, request, (size_t)n + body_len);
    return read_answer(c, answer, answer_len);
}
