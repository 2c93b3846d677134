/* See node_record.h. */
#include "node/node_record.h"

#include "base/hex.h"
#include "base/mem.h"
#include "blockstore/dir.h"
#include "codec/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "node.json"
#define FILE_MAX (4 << 20)

void node_record_free(struct node_record *record)
{
    free(record->peers);
    record->peers = NULL;
    record->peer_count = 0;
}

/* ---- text ---- */

static void set_hex(json_t *object, const char *name, const uint8_t *bytes, size_t len)
{
    mem_auto char *digits = mem_alloc(2 * len + 1);
    hex_encode(digits, bytes, len);
    json_set_str(object, name, digits);
}

static void put_rotation(json_t *value, const struct node_rotation *rotation)
{
    json_set_str(value, "token", rotation->token);
    json_set_str(value, "servers", rotation->servers);
    json_object_set_new(value, "left", json_boolean(rotation->left));
}

void node_record_encode(struct buf *out, const struct node_record *record)
{
    json_auto_t *value = json_object();
    json_set_str(value, "name", record->name);
    if (record->has_chain)
        set_hex(value, "chain", record->chain_id, sizeof(record->chain_id));
    json_object_set_new(value, "joined", json_boolean(record->joined));
    if (record->removed)
        json_object_set_new(value, "removed", json_true());
    if (record->outdated)
        json_object_set_new(value, "outdated", json_true());
    if (*record->servers)
        json_set_str(value, "servers", record->servers);
    if (*record->rotation.token)
        put_rotation(json_object_ensure(value, "rotation"), &record->rotation);
    json_set_str(value, "clusterCIDR", record->cluster_cidr);
    json_set_str(value, "serviceCIDR", record->service_cidr);
    json_t *peers = json_array_ensure(value, "peers");
    for (size_t i = 0; i < record->peer_count; i++) {
        const struct registry_validator *v = &record->peers[i];
        json_t *peer = json_object();
        json_set_str(peer, "name", v->name);
        set_hex(peer, "key", v->key, sizeof(v->key));
        json_t *addresses = json_array_ensure(peer, "addresses");
        for (size_t k = 0; k < v->address_count; k++)
            json_array_append_new(addresses, json_string(v->addresses[k]));
        json_array_append_new(peers, peer);
    }
    char *text = json_dumps(value, JSON_INDENT(1));
    buf_puts(out, text);
    buf_putc(out, '\n');
    free(text);
}

static bool copy_text(char *out, size_t size, const char *text)
{
    if (strlen(text) >= size)
        return false;
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static bool read_peer(struct registry_validator *out, const json_t *value)
{
    size_t i;
    const json_t *address;
    if (!copy_text(out->name, sizeof(out->name), json_str_or_empty(value, "name")) ||
        !hex_decode(out->key, sizeof(out->key), json_str_or_empty(value, "key")) ||
        json_array_size(json_at(value, "addresses")) > REGISTRY_ADDRESSES_MAX)
        return false;
    json_array_foreach(json_at(value, "addresses"), i, address)
    {
        if (!copy_text(out->addresses[i], REGISTRY_ADDRESS_MAX, json_or_empty_(address)))
            return false;
        out->address_count = i + 1;
    }
    return true;
}

static bool read_rotation(struct node_rotation *out, const json_t *value)
{
    out->left = json_bool_at(value, "left");
    return copy_text(out->token, sizeof(out->token), json_str_or_empty(value, "token")) &&
           copy_text(out->servers, sizeof(out->servers), json_str_or_empty(value, "servers"));
}

static bool read_record(struct node_record *out, const json_t *value)
{
    size_t i;
    const json_t *peer, *peers = json_at(value, "peers");
    const char *chain = json_str(value, "chain");
    out->has_chain = chain != NULL;
    out->joined = json_bool_at(value, "joined");
    out->removed = json_bool_at(value, "removed");
    out->outdated = json_bool_at(value, "outdated");
    if (!copy_text(out->name, sizeof(out->name), json_str_or_empty(value, "name")) ||
        (chain && !hex_decode(out->chain_id, sizeof(out->chain_id), chain)) ||
        !copy_text(out->cluster_cidr, NODE_CIDR_MAX, json_str_or_empty(value, "clusterCIDR")) ||
        !copy_text(out->servers, sizeof(out->servers), json_str_or_empty(value, "servers")) ||
        !read_rotation(&out->rotation, json_at(value, "rotation")) ||
        !copy_text(out->service_cidr, NODE_CIDR_MAX, json_str_or_empty(value, "serviceCIDR")) ||
        json_array_size(peers) > REGISTRY_MAX)
        return false;
    out->peers = mem_calloc(json_array_size(peers) + 1, sizeof(*out->peers));
    json_array_foreach(peers, i, peer)
    {
        if (!read_peer(&out->peers[i], peer))
            return false;
        out->peer_count = i + 1;
    }
    return true;
}

int node_record_decode(struct node_record *out, const void *text, size_t len, struct err *err)
{
    *out = (struct node_record){.has_chain = false};
    json_auto_t *value = json_parse(text, len, err);
    if (json_is_object(value) && read_record(out, value))
        return 0;
    node_record_free(out);
    return err_set(err, ERR_CORRUPT, "it is damaged: restore it from a backup");
}

/* ---- file ---- */

static int read_file(struct buf *out, const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "no file %s", path);
    if (fd < 0)
        return err_set_errno(err, "open %s", path);
    ssize_t n = 1;
    while (n > 0 && out->len < FILE_MAX) {
        buf_reserve(out, 4096);
        n = read(fd, out->data + out->len, 4096);
        if (n > 0)
            out->len += (size_t)n;
    }
    int code = n < 0 ? err_set_errno(err, "read %s", path) : 0;
    close(fd);
    return code;
}

int node_record_load(struct node_record *out, const char *data_dir, struct err *err)
{
    buf_auto struct buf text = BUF_INIT;
    mem_auto char *path = mem_printf("%s/" FILE_NAME, data_dir);
    *out = (struct node_record){.has_chain = false};
    int code = read_file(&text, path, err);
    if (code == ERR_NOT_FOUND) {
        err_clear(err);
        return 0;
    }
    if (!code && node_record_decode(out, buf_str(&text), text.len, err))
        code = err_wrap(err, "%s", path);
    return code;
}

int node_record_save(const struct node_record *record, const char *data_dir, struct err *err)
{
    buf_auto struct buf text = BUF_INIT, old = BUF_INIT;
    mem_auto char *path = mem_printf("%s/" FILE_NAME, data_dir);
    mem_auto char *temporary = mem_printf("%s.new", path);
    node_record_encode(&text, record);
    if (read_file(&old, path, NULL) == 0 && old.len == text.len &&
        !memcmp(buf_str(&old), buf_str(&text), text.len))
        return 0;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, "create %s", temporary);
    bool written = write(fd, text.data, text.len) == (ssize_t)text.len && fdatasync(fd) == 0;
    int code = written ? 0 : err_set_errno(err, "write %s", temporary);
    close(fd);
    if (!code && rename(temporary, path) != 0)
        code = err_set_errno(err, "rename to %s", path);
    return code ? code : dir_sync_parent(path, err);
}

void node_record_set_peers(struct node_record *record, const struct registry_validator *all, size_t count,
                           const uint8_t own_key[TX_KEY_SIZE])
{
    node_record_free(record);
    record->peers = mem_calloc(count + 1, sizeof(*record->peers));
    for (size_t i = 0; i < count; i++)
        if (memcmp(all[i].key, own_key, TX_KEY_SIZE) != 0)
            record->peers[record->peer_count++] = all[i];
}
