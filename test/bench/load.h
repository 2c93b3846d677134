/*
 * The load of ./hack/bench: equally light clients for katena (HTTP/1.1 over TLS 1.3) and etcd (gRPC over
 * HTTP/2, in clear text or over TLS 1.3). One connection and one thread per client, one request at a time,
 * every answer checked.
 */
#ifndef KATENA_BENCH_LOAD_H
#define KATENA_BENCH_LOAD_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct target {
    const char *host;
    int port;
    const char *ca, *cert, *key; /* PEM files; "": in clear text */
};

/* transport.c: a connection, over TLS when the target has certificates. */
struct transport {
    struct arrived *arrived;
    gnutls_session_t session; /* NULL: clear text */
    gnutls_certificate_credentials_t credentials;
};

/* protocol: as ALPN calls it. */
void transport_open(struct transport *t, const struct target *target, const char *protocol);
void transport_close(struct transport *t);
void transport_send(struct transport *t, const void *data, size_t len);
/* Up to len bytes; waits only when there are none; 0 at the end. */
size_t transport_take(struct transport *t, void *out, size_t len);

/* HTTP/1.1: a keep-alive connection to katena. */
struct http_connection {
    struct transport transport;
    char *buffer;
    size_t capacity;
    size_t length;
};

void http_open(struct http_connection *c, const struct target *target);
/* Sends a request and reads the whole answer; the body is c->buffer + *body, *body_len long. Returns the
 * HTTP status. */
int http_call(struct http_connection *c, const char *method, const char *path, const char *content_type,
              const void *body, size_t body_len, size_t *answer, size_t *answer_len);
/* Sends a GET whose answer is a chunked stream. */
void http_send_get(struct http_connection *c, const char *path);
/* Appends what arrives to the buffer; false at the end. */
bool http_read_more(struct http_connection *c);
void http_close(struct http_connection *c);

/* gRPC over HTTP/2 with prior knowledge: a connection to etcd. */
struct grpc_connection {
    struct transport transport;
    uint32_t next_stream;
    uint8_t *buffer;
    size_t capacity;
};

void grpc_open(struct grpc_connection *c, const struct target *target);
/* One unary call; returns the length of the answer's message, which is the only proof of success that an
 * answer without a status line gives. Exits when there is none. */
size_t grpc_call(struct grpc_connection *c, const char *path, const void *message, size_t len);
void grpc_close(struct grpc_connection *c);

/* pod_start.c: makes a pod of the image, waits until the API says Running, deletes it and waits until it is
 * gone. Returns the microseconds from the creation to Running. */
int64_t pod_start_once(struct http_connection *http, const char *image, int number);

void load_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
