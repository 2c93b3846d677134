/* See http_forward.h. */
#include "api/http_forward.h"

#include "api/node_link.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"

#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define FORWARDED_BY "Katena-Forwarded-By" /* the node that passed a request on */

struct http_forward {
    char *node;
    bool upgrade;
    char *path;
    struct buf head; /* of the request to the other node */
    struct node_link *link;
    int status;      /* of the answer */
    struct buf body; /* unless the answer is a stream */
};

/* ---- what is passed on ---- */

static void put_encoded(struct buf *out, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    for (const char *p = text; *p; p++) {
        if (strchr(plain, *p))
            buf_putc(out, *p);
        else
            buf_printf(out, "%%%02X", (unsigned char)*p);
    }
}

static enum MHD_Result put_argument(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct buf *out = cls;
    (void)kind;
    buf_putc(out, memchr(out->data, '?', out->len) ? '&' : '?');
    put_encoded(out, name);
    buf_putc(out, '=');
    put_encoded(out, value ? value : "");
    return MHD_YES;
}

static char *make_path(struct http_request *request)
{
    struct buf path = BUF_INIT;
    buf_puts(&path, "/api/v1/namespaces/");
    put_encoded(&path, request->route.namespace);
    buf_puts(&path, "/pods/");
    put_encoded(&path, request->route.name);
    buf_printf(&path, "/%s", request->route.subresource);
    MHD_get_connection_values(request->mhd, MHD_GET_ARGUMENT_KIND, put_argument, &path);
    return buf_steal(&path);
}

/* A header's value as the client sent it or the API knows it: without what would end the line. */
static void put_header(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s: ", name);
    for (const char *p = value; *p; p++)
        buf_putc(out, (unsigned char)*p < ' ' || *p == 0x7f ? ' ' : *p);
    buf_puts(out, "\r\n");
}

/* What an upgrade is agreed on by. */
static enum MHD_Result put_upgrade_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                          const char *value)
{
    static const char *const names[] = {"Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
                                        "Sec-WebSocket-Protocol", "X-Stream-Protocol-Version"};
    (void)kind;
    for (size_t i = 0; value && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcasecmp(name, names[i]) == 0)
            put_header(cls, names[i], value);
    }
    return MHD_YES;
}

/* The user for whom the other node is asked. */
static void put_identity(struct buf *out, const struct api_identity *who)
{
    put_header(out, "Impersonate-User", who->name);
    if (*who->uid)
        put_header(out, "Impersonate-Uid", who->uid);
    for (size_t i = 0; i < who->group_count; i++) {
        bool implied = !strcmp(who->groups[i], "system:authenticated") ||
                       !strcmp(who->groups[i], "system:unauthenticated");
        if (!implied)
            put_header(out, "Impersonate-Group", who->groups[i]);
    }
    const char *key;
    json_t *values, *value;
    size_t i;
    json_object_foreach(who->extra, key, values)
    {
        struct buf name buf_auto = BUF_INIT;
        buf_puts(&name, "Impersonate-Extra-");
        put_encoded(&name, key);
        json_array_foreach(values, i, value) put_header(out, buf_str(&name), json_or_empty_(value));
    }
}

int http_forward_new(struct http_forward **out, struct http_request *request, const char *node, bool upgrade)
{
    const char *by = http_header(request, FORWARDED_BY);
    if (by)
        return err_set(&request->err, ERR_UNAVAILABLE,
                       "node %.253s takes this node for that of pod %s, which is node %s", by,
                       request->route.name, node);
    struct http_forward *f = mem_zalloc(sizeof(*f));
    const char *agent = http_header(request, "User-Agent");
    f->node = mem_strdup(node);
    f->upgrade = upgrade;
    f->path = make_path(request);
    /* A plain answer goes to the end of the connection, so that its bytes need no unpacking: HTTP/1.0. */
    buf_printf(&f->head, "%s %s HTTP/1.%d\r\n", request->method, f->path, upgrade ? 1 : 0);
    put_header(&f->head, "Host", node);
    put_header(&f->head, FORWARDED_BY, request->http->server->node_name);
    if (agent)
        put_header(&f->head, "User-Agent", agent);
    put_identity(&f->head, request->who);
    if (upgrade) {
        buf_puts(&f->head, "Connection: Upgrade\r\n");
        MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, put_upgrade_header, &f->head);
    }
    if (strcmp(request->method, "GET") != 0)
        buf_puts(&f->head, "Content-Length: 0\r\n");
    buf_puts(&f->head, "\r\n");
    *out = f;
    return 0;
}

void http_forward_free(struct http_forward *f)
{
    if (!f)
        return;
    node_link_free(f->link);
    buf_free(&f->head);
    buf_free(&f->body);
    free(f->node);
    free(f->path);
    free(f);
}

/* ---- asking ---- */

/* kubectl prints a Status without a reason as it is: "Error from server: …". */
static void answer_failure(struct http_forward *f, const char *address, const struct err *err)
{
    mem_auto char *message = f->upgrade
                                 ? mem_printf("error dialing backend: %s", err->message)
                                 : mem_printf("Get \"https://%s%s\": %s", address, f->path, err->message);
    f->status = err->code == ERR_TIMEOUT ? MHD_HTTP_GATEWAY_TIMEOUT : MHD_HTTP_BAD_GATEWAY;
    json_auto_t *status = json_pack("{s:s, s:s, s:{}, s:s, s:s, s:i}", "kind", "Status", "apiVersion", "v1",
                                    "metadata", "status", "Failure", "message", message, "code", f->status);
    buf_clear(&f->body);
    json_dump_buf(&f->body, status);
    log_info("http", "node %s: %s", f->node, err->message);
}

static bool is_stream(const struct http_forward *f)
{
    return f->link && f->status == (f->upgrade ? MHD_HTTP_SWITCHING_PROTOCOLS : MHD_HTTP_OK);
}

void http_forward_ask(struct http_forward *f, struct api_server *server)
{
    char address[NODE_LINK_ADDRESS_MAX] = "";
    struct err err = {0};
    int rc = node_link_address(address, server, f->node, &err);
    if (!rc)
        rc = node_link_open(&f->link, server, f->node, address, &err);
    if (!rc)
        rc = node_link_ask(f->link, &f->head, &f->status, &err);
    if (!rc && !is_stream(f))
        rc = node_link_read_body(f->link, &f->body, &err);
    if (rc)
        answer_failure(f, address, &err);
    if (rc || !is_stream(f)) {
        node_link_free(f->link);
        f->link = NULL;
    }
}

/* ---- answering ---- */

/* The other node's side of a stream; owns all that it holds. */
struct relay {
    struct node_link *link;
    int fd;
};

static void *relay_main(void *arg)
{
    struct relay *relay = arg;
    pthread_setname_np(pthread_self(), "http-relay");
    node_link_run(relay->link, relay->fd);
    node_link_free(relay->link);
    close(relay->fd);
    free(relay);
    return NULL;
}

/* Gives the link away to a thread of its own; *fd is this side of it. */
static int start_relay(struct http_forward *f, int *fd, struct err *err)
{
    int pair[2];
    pthread_t thread;
    pthread_attr_t attributes;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return err_set_errno(err, "join the stream");
    struct relay *relay = mem_zalloc(sizeof(*relay));
    *relay = (struct relay){.link = f->link, .fd = pair[1]};
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int rc = pthread_create(&thread, &attributes, relay_main, relay);
    pthread_attr_destroy(&attributes);
    if (rc) {
        close(pair[0]);
        close(pair[1]);
        free(relay);
        return err_set(err, ERR_UNAVAILABLE, "no thread for the stream: %s", strerror(rc));
    }
    f->link = NULL;
    *fd = pair[0];
    return 0;
}

enum MHD_Result http_forward_reply(struct http_request *request, struct http_forward *f)
{
    if (!is_stream(f))
        return http_reply(request, f->status, "application/json", &f->body);
    struct buf head = BUF_INIT;
    const struct buf *answer = node_link_head(f->link);
    if (f->upgrade)
        buf_append(&head, answer->data, answer->len);
    int fd = -1;
    if (start_relay(f, &fd, &request->err)) {
        buf_free(&head);
        return http_reply_err(request);
    }
    return f->upgrade ? http_upgrade_relay(request, &head, fd) : http_logs_reply(request, fd);
}
