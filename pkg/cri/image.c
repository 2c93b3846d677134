/* A docker-archive: manifest.json, the configuration named by its digest, and the layer; all ustar. */
#include "cri/image.h"

#include "base/hex.h"
#include "base/mem.h"
#include "codec/json.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>

#define BLOCK 512

/* The pause program, built from pause/pause.c. */
__asm__(".section .rodata\n"
        ".balign 16\n"
        "katena_pause_start:\n"
        ".incbin \"" KATENA_PAUSE_PATH "\"\n"
        "katena_pause_end:\n"
        ".previous\n");
extern const uint8_t katena_pause_start[], katena_pause_end[];

struct ustar {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
    char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct ustar) == BLOCK, "a tar header fills a block");

static void tar_header(struct buf *out, const char *name, unsigned mode, char type, const char *link,
                       size_t link_len, size_t size)
{
    struct ustar h = {.type = type, .magic = "ustar", .version = {'0', '0'}};
    assert(strlen(name) < sizeof(h.name) && link_len < sizeof(h.link));
    memcpy(h.name, name, strlen(name));
    if (link_len)
        memcpy(h.link, link, link_len);
    snprintf(h.mode, sizeof(h.mode), "%07o", mode & 07777);
    snprintf(h.uid, sizeof(h.uid), "%07o", 0u);
    snprintf(h.gid, sizeof(h.gid), "%07o", 0u);
    snprintf(h.size, sizeof(h.size), "%011zo", size);
    snprintf(h.mtime, sizeof(h.mtime), "%011o", 0u);
    memset(h.checksum, ' ', sizeof(h.checksum));
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof(h); i++)
        sum += ((const unsigned char *)&h)[i];
    snprintf(h.checksum, sizeof(h.checksum), "%06o", sum & 0777777);
    buf_append(out, &h, sizeof(h));
}

static void tar_file(struct buf *out, const char *name, unsigned mode, const void *data, size_t len)
{
    static const char zeros[BLOCK];
    tar_header(out, name, mode, '0', NULL, 0, len);
    buf_append(out, data, len);
    buf_append(out, zeros, (BLOCK - len % BLOCK) % BLOCK);
}

static void tar_end(struct buf *out)
{
    static const char zeros[2 * BLOCK];
    buf_append(out, zeros, sizeof(zeros));
}

/* Writes the directories above path that the layer does not have yet. */
static void layer_directories(struct buf *layer, json_t *made, const char *path)
{
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        char *dir mem_auto = mem_strndup(path, (size_t)(slash - path) + 1);
        if (json_object_get(made, dir))
            continue;
        json_object_set_new(made, dir, json_true());
        tar_header(layer, dir, 0755, '5', NULL, 0, 0);
    }
}

static void make_layer(struct buf *layer, const struct image *image)
{
    json_auto_t *made = json_object();
    for (size_t i = 0; i < image->file_count; i++) {
        const struct image_file *f = &image->files[i];
        layer_directories(layer, made, f->path);
        if (f->link)
            tar_header(layer, f->path, 0777, '2', f->data, f->len, 0);
        else
            tar_file(layer, f->path, f->mode, f->data, f->len);
    }
    tar_end(layer);
}

static void sha256_hex(char out[65], const void *data, size_t len)
{
    uint8_t digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(digest, data, len);
    hex_encode(out, digest, sizeof(digest));
}

static void set_strings(json_t *object, const char *member, const char *const *list)
{
    if (!list)
        return;
    json_t *array = json_array();
    for (size_t i = 0; list[i]; i++)
        json_array_append_new(array, json_string(list[i]));
    json_object_set_new(object, member, array);
}

static void make_config(struct buf *out, const struct image *image, const char *layer_digest)
{
#if defined(__aarch64__)
    const char *arch = "arm64";
#else
    const char *arch = "amd64";
#endif
    json_auto_t *config = json_pack("{s:s, s:s, s:s, s:{}, s:{s:s, s:[o]}}", "architecture", arch, "os",
                                    "linux", "created", "1970-01-01T00:00:00Z", "config", "rootfs", "type",
                                    "layers", "diff_ids", json_sprintf("sha256:%s", layer_digest));
    json_t *run = json_object_get(config, "config");
    set_strings(run, "Entrypoint", image->entrypoint);
    set_strings(run, "Cmd", image->command);
    set_strings(run, "Env", image->env);
    json_dump_buf(out, config);
}

void image_archive(struct buf *out, const struct image *image)
{
    struct buf layer buf_auto = BUF_INIT;
    struct buf config buf_auto = BUF_INIT;
    struct buf manifest buf_auto = BUF_INIT;
    char layer_digest[65], config_digest[65], layer_name[80], config_name[80];
    make_layer(&layer, image);
    sha256_hex(layer_digest, layer.data, layer.len);
    make_config(&config, image, layer_digest);
    sha256_hex(config_digest, config.data, config.len);
    snprintf(layer_name, sizeof(layer_name), "%s.tar", layer_digest);
    snprintf(config_name, sizeof(config_name), "%s.json", config_digest);
    json_auto_t *list = json_pack("[{s:s, s:[s], s:[s]}]", "Config", config_name, "RepoTags", image->name,
                                  "Layers", layer_name);
    json_dump_buf(&manifest, list);
    tar_file(out, "manifest.json", 0644, manifest.data, manifest.len);
    tar_file(out, config_name, 0644, config.data, config.len);
    tar_file(out, layer_name, 0644, layer.data, layer.len);
    tar_end(out);
}

void image_pause_archive(struct buf *out, const char *name)
{
    const struct image_file pause = {.path = "pause",
                                     .mode = 0755,
                                     .data = katena_pause_start,
                                     .len = (size_t)(katena_pause_end - katena_pause_start)};
    const char *const entrypoint[] = {"/pause", NULL};
    const struct image image = {.name = name, .files = &pause, .file_count = 1, .entrypoint = entrypoint};
    image_archive(out, &image);
}
