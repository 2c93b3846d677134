/*
 * gRPC over HTTP/2 without TLS on a Unix socket, by libcurl: unary calls and server streams.
 * The frame: one byte 0 (not compressed), the length as 4 bytes big-endian, the message
 * (gRPC over HTTP2, "Length-Prefixed-Message"); the outcome comes in the trailers grpc-status and
 * grpc-message.
 *
 * Threads: any; each call has a connection of its own.
 */
#ifndef KATENA_CRI_GRPC_H
#define KATENA_CRI_GRPC_H

#include "base/err.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

struct grpc_channel;

struct grpc_channel *grpc_open(const char *socket_path);
void grpc_close(struct grpc_channel *channel); /* no call may be in progress */

/* Ends the calls in progress and all later ones with ERR_UNAVAILABLE. */
void grpc_abort(struct grpc_channel *channel);

/* One unary call: method is "/package.Service/Method". *out (when out is not NULL) is the caller's. A
 * timeout of 0 waits for ever. */
int grpc_call(struct grpc_channel *channel, const char *method, const ProtobufCMessage *request,
              const ProtobufCMessageDescriptor *response_type, int64_t timeout_ms, ProtobufCMessage **out,
              struct err *err);

/* A server stream: fn gets each message (its bytes, borrowed), and NULL once the request is sent and then
 * about once a second; returning false ends the call. Returns 0 after such an end, else why the stream ended.
 */
typedef bool (*grpc_stream_fn)(void *arg, const void *message, size_t len);
int grpc_stream(struct grpc_channel *channel, const char *method, const ProtobufCMessage *request,
                grpc_stream_fn fn, void *arg, struct err *err);

/* Reads one length-prefixed message at the front of data. Returns the bytes it takes in all (message at
 * data + 5), 0 when more must come, -1 when it is compressed or larger than GRPC_MESSAGE_MAX. */
#define GRPC_MESSAGE_MAX (64u << 20)
long grpc_frame_length(const void *data, size_t len);

#endif
