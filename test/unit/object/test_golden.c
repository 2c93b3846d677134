/*
 * Objects as Go's own types encode them, in both wires, against ours: the folder golden/ holds pairs
 * <message>_<n>.json and .pb (a message without its envelope). Both must decode to the same object, written
 * as Go writes it apart from nulls, and encode to the same bytes. KATENA_GOLDEN names another folder to run
 * over.
 */
#include "unit.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/decode.h"
#include "object/registry.h"

#include <glob.h>

static struct buf read_file(const char *path)
{
    struct buf out = BUF_INIT;
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof(chunk), file)) > 0;)
        buf_append(&out, chunk, n);
    fclose(file);
    return out;
}

/* Go shows nil lists and times as null; the internal form leaves them out. */
static void drop_nulls(json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;
    void *next;
    json_object_foreach_safe(value, next, key, item)
    {
        if (json_is_null(item))
            json_object_del(value, key);
        else
            drop_nulls(item);
    }
    json_array_foreach(value, i, item) drop_nulls(item);
}

static char *text_of(const json_t *value)
{
    struct buf out = BUF_INIT;
    json_dump_buf(&out, value);
    return buf_steal(&out);
}

static void check_pair(const struct schema_message *message, const struct buf *bytes, const struct buf *text)
{
    struct err err = {0};
    json_auto_t *go = json_parse(text->data, text->len, &err);
    assert_non_null(go);
    json_auto_t *from_json = NULL, *from_protobuf = NULL;
    json_auto_t *unknown = json_array();
    assert_int_equal(decode_json(message, go, &from_json, unknown, &err), 0);
    assert_int_equal(json_array_size(unknown), 0);
    if (protobuf_decode(message, (const uint8_t *)bytes->data, bytes->len, &from_protobuf, &err) < 0)
        fail_msg("%s: %s", message->name, err.message);

    buf_auto struct buf encoded = BUF_INIT;
    protobuf_encode(&encoded, message, from_protobuf);
    assert_int_equal(encoded.len, bytes->len);
    if (bytes->len)
        assert_memory_equal(encoded.data, bytes->data, bytes->len);

    json_object_del(from_protobuf, "kind");
    json_object_del(from_protobuf, "apiVersion");
    drop_nulls(go);
    drop_nulls(from_json);
    drop_nulls(from_protobuf);
    mem_auto char *expected = text_of(go), *ours = text_of(from_json), *wire = text_of(from_protobuf);
    assert_string_equal(ours, expected);
    assert_string_equal(wire, expected);
}

static void test_both_wires_agree_with_go(void **state)
{
    (void)state;
    const char *folder = getenv("KATENA_GOLDEN");
    mem_auto char *pattern =
        mem_printf("%s/*.pb", folder ? folder : KATENA_SOURCE_DIR "/test/unit/object/golden");
    glob_t found;
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *path = found.gl_pathv[i];
        const char *base = strrchr(path, '/') + 1;
        mem_auto char *name = mem_strndup(base, strcspn(base, "_"));
        mem_auto char *json_path = mem_printf("%.*s.json", (int)(strlen(path) - 3), path);
        const struct schema_message *message = registry_message(name);
        assert_non_null(message);
        print_message("%s\n", base);
        buf_auto struct buf bytes = read_file(path);
        buf_auto struct buf text = read_file(json_path);
        check_pair(message, &bytes, &text);
    }
    globfree(&found);
}

static const struct CMUnitTest tests[] = {cmocka_unit_test(test_both_wires_agree_with_go)};
UNIT_MAIN(tests)
