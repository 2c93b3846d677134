/* Frames of gRPC and archives of images, without any runtime. */
#include "unit.h"

#include "codec/json.h"
#include "cri/grpc.h"
#include "cri/image.h"

static void test_frame_length(void **state)
{
    (void)state;
    assert_int_equal(grpc_frame_length("\0\0\0\0\3abc", 8), 8);
    assert_int_equal(grpc_frame_length("\0\0\0\0\3ab", 7), 0);
    assert_int_equal(grpc_frame_length("\0\0\0", 3), 0);
    assert_int_equal(grpc_frame_length("\1\0\0\0\3abc", 8), -1); /* compressed */
    assert_int_equal(grpc_frame_length("\0\xff\xff\xff\xff", 5), -1);
}

static size_t octal(const char *text)
{
    return strtoul(text, NULL, 8);
}

/* The size and data of the file called name. */
static const char *tar_find(const struct buf *tar, const char *name, size_t *len)
{
    for (size_t at = 0; at + 512 <= tar->len && tar->data[at];) {
        size_t size = octal(tar->data + at + 124);
        if (strcmp(tar->data + at, name) == 0) {
            *len = size;
            return tar->data + at + 512;
        }
        at += 512 + (size + 511) / 512 * 512;
    }
    return NULL;
}

static void test_pause_archive(void **state)
{
    (void)state;
    struct buf tar buf_auto = BUF_INIT;
    struct buf again buf_auto = BUF_INIT;
    image_pause_archive(&tar, "example.test/pause:1");
    image_pause_archive(&again, "example.test/pause:1");
    assert_int_equal(tar.len, again.len);
    assert_memory_equal(tar.data, again.data, tar.len);
    assert_int_equal(tar.len % 512, 0);
    size_t len = 0;
    const char *text = tar_find(&tar, "manifest.json", &len);
    assert_non_null(text);
    struct err err;
    json_auto_t *manifest = json_parse(text, len, &err);
    json_t *entry = json_array_get(manifest, 0);
    assert_string_equal(json_string_value(json_array_get(json_object_get(entry, "RepoTags"), 0)),
                        "example.test/pause:1");
    text = tar_find(&tar, json_str(entry, "Config"), &len);
    json_auto_t *config = json_parse(text, len, &err);
    assert_string_equal(json_string_value(json_array_get(json_at(config, "config", "Entrypoint"), 0)),
                        "/pause");
    const char *layer =
        tar_find(&tar, json_string_value(json_array_get(json_object_get(entry, "Layers"), 0)), &len);
    assert_non_null(layer);
    assert_string_equal(layer, "pause");
    assert_memory_equal(layer + 512, "\177ELF", 4);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_frame_length),
    cmocka_unit_test(test_pause_archive),
};

UNIT_MAIN(tests)
