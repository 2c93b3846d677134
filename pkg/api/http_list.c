/*
 * Lists. A small one is answered whole; a large one is streamed in blocks, so the memory it takes does not
 * grow with its length. The list reads its snapshot a page at a time (verbs_list.c), so a slow client holds
 * no snapshot open.
 */
#include "api/http_internal.h"

#include "base/mem.h"
#include "codec/json_indent.h"

#include <string.h>

struct http_list {
    struct api_list *list;
    struct represent represent;
    struct represent_list writer;
    struct buf item;
    struct buf text; /* not laid out yet, of a list that shall be */
    struct buf pending;
    size_t sent; /* of pending */
    bool pretty;
    struct json_indent indent;
    bool finished;
};

static void lay_out(struct http_list *list)
{
    json_indent_put(&list->pending, &list->indent, list->text.data, list->text.len);
    buf_clear(&list->text);
}

/* Writes until `pending` holds at least `want` bytes or the list is at its end. */
static void fill(struct http_list *list, size_t want)
{
    struct buf *out = list->pretty ? &list->text : &list->pending;
    while (!list->finished && list->pending.len - list->sent < want) {
        if (api_list_next(list->list, &list->item)) {
            represent_list_item(out, &list->writer, list->item.data, list->item.len);
        } else {
            represent_list_tail(out, &list->writer, api_list_rv(list->list), api_list_continue(list->list),
                                api_list_remaining(list->list));
            list->finished = true;
        }
        if (list->pretty)
            lay_out(list);
    }
}

static ssize_t read_block(void *cls, uint64_t position, char *out, size_t max)
{
    struct http_list *list = cls;
    (void)position;
    if (list->sent == list->pending.len) {
        buf_clear(&list->pending);
        list->sent = 0;
    }
    fill(list, max);
    size_t n = list->pending.len - list->sent;
    if (n == 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n > max)
        n = max;
    memcpy(out, list->pending.data + list->sent, n);
    list->sent += n;
    return (ssize_t)n;
}

static void list_free(void *cls)
{
    struct http_list *list = cls;
    represent_list_free(&list->writer);
    api_list_free(list->list);
    buf_free(&list->item);
    buf_free(&list->text);
    buf_free(&list->pending);
    free(list);
}

enum MHD_Result http_list_reply(struct http_request *request, struct api_response *response)
{
    struct http_list *list = mem_zalloc(sizeof(*list));
    int status = response->status;
    list->list = response->list;
    response->list = NULL;
    list->represent = request->represent;
    list->pretty = request->query.pretty && list->represent.form.media == NEGOTIATE_JSON;
    request->query.pretty = false; /* the list does it itself, piece by piece */
    represent_list_head(list->pretty ? &list->text : &list->pending, &list->writer, &list->represent);
    fill(list, represent_list_buffered(&list->represent) ? SIZE_MAX : HTTP_BLOCK_SIZE);
    const char *type = represent_content_type(&list->represent);
    if (list->finished) {
        enum MHD_Result queued = http_reply(request, status, type, &list->pending);
        list_free(list);
        return queued;
    }
    struct MHD_Response *stream =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, HTTP_BLOCK_SIZE, read_block, list, list_free);
    MHD_add_response_header(stream, "Content-Type", type);
    return http_queue(request, status, stream);
}
