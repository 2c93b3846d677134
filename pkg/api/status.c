/* Status objects (meta/v1): how every failed request and some successful ones are answered. */
#include "api/api_internal.h"

#include "codec/json.h"

/* The reason of an HTTP status where no error code says it better. */
static const char *reason_of_status(int status)
{
    static const struct {
        int status;
        const char *reason;
    } table[] = {
        {400, "BadRequest"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "NotFound"},
        {405, "MethodNotAllowed"},
        {406, "NotAcceptable"},
        {408, "Timeout"},
        {409, "Conflict"},
        {410, "Expired"},
        {413, "RequestEntityTooLarge"},
        {415, "UnsupportedMediaType"},
        {422, "Invalid"},
        {429, "TooManyRequests"},
        {500, "InternalError"},
        {503, "ServiceUnavailable"},
        {504, "Timeout"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (table[i].status == status)
            return table[i].reason;
    return "";
}

static void status_dump(struct buf *out, int code, const char *reason, const char *message,
                        const json_t *details)
{
    json_auto_t *status = json_object();
    json_set_str(status, "kind", "Status");
    json_set_str(status, "apiVersion", "v1");
    json_object_set_new(status, "metadata", json_object());
    json_set_str(status, "status", code < 400 ? "Success" : "Failure");
    if (message && *message) {
        /* A message may quote bytes of a client that are no UTF-8; they must not cost the answer. */
        json_t *text = json_string(message);
        if (!text) {
            struct buf clean = BUF_INIT;
            for (const char *p = message; *p; p++)
                buf_putc(&clean, (unsigned char)*p < 0x80 ? *p : '?');
            text = json_string(buf_str(&clean));
            buf_free(&clean);
        }
        json_object_set_new(status, "message", text);
    }
    if (code >= 400 && *reason)
        json_set_str(status, "reason", reason);
    if (details && json_object_size(details) > 0)
        json_object_set_new(status, "details", json_deep_copy(details));
    if (code >= 400)
        json_set_int(status, "code", code);
    json_dump_buf(out, status);
}

void api_status_text(struct buf *out, int code, const char *message, const json_t *details)
{
    status_dump(out, code, reason_of_status(code), message, details);
}

int api_status_of(struct buf *out, const struct err *err, const struct schema_kind *kind, const char *name,
                  const json_t *causes)
{
    int code = err_http_status(err->code);
    json_auto_t *details = json_object();
    if (name && *name)
        json_set_str(details, "name", name);
    if (kind) {
        if (*kind->group)
            json_set_str(details, "group", kind->group);
        /* Validation failures name the kind, everything else the resource, as upstream does. */
        json_set_str(details, "kind", err->code == ERR_INVALID ? kind->kind : kind->plural);
    }
    if (causes && json_array_size(causes) > 0)
        json_object_set_new(details, "causes", json_deep_copy(causes));
    status_dump(out, code, err_reason(err->code), err->message, details);
    return code;
}
