/* The OpenAPI documents: whole, consistent, and with what kubectl looks for. */
#include "unit.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/openapi.h"
#include "object/protobuf_wire.h"
#include "object/registry.h"

static json_t *parse(const struct buf *text)
{
    json_error_t error;
    json_t *value = json_loadb(text->data, text->len, JSON_REJECT_DUPLICATES, &error);
    if (!value)
        fail_msg("%s at %d", error.text, error.position);
    return value;
}

/* Each $ref must lead to a schema of the document. */
static void check_refs(const json_t *value, const json_t *schemas, const char *folder)
{
    const char *key;
    json_t *item;
    size_t i;
    json_object_foreach((json_t *)value, key, item)
    {
        if (strcmp(key, "$ref") != 0) {
            check_refs(item, schemas, folder);
            continue;
        }
        const char *ref = json_string_value(item);
        assert_int_equal(strncmp(ref, folder, strlen(folder)), 0);
        if (!json_object_get(schemas, ref + strlen(folder)))
            fail_msg("no schema for %s", ref);
    }
    json_array_foreach(value, i, item) check_refs(item, schemas, folder);
}

/* Every operation has an id of its own. */
static void check_operations(const json_t *paths)
{
    json_auto_t *ids = json_object();
    const char *path, *method;
    json_t *item, *operation;
    json_object_foreach((json_t *)paths, path, item)
    {
        json_object_foreach(item, method, operation)
        {
            const char *id = json_str(operation, "operationId");
            if (strcmp(method, "parameters") == 0)
                continue;
            assert_non_null(id);
            if (json_object_get(ids, id))
                fail_msg("%s twice", id);
            json_object_set_new(ids, id, json_true());
        }
    }
    assert_true(json_object_size(ids) > 0);
}

static void test_version_2(void **state)
{
    (void)state;
    buf_auto struct buf text = BUF_INIT;
    openapi_v2(&text);
    json_auto_t *document = parse(&text);
    const json_t *definitions = json_object_get(document, "definitions");
    check_refs(document, definitions, "#/definitions/");
    check_operations(json_object_get(document, "paths"));

    const json_t *spec = json_object_get(definitions, "io.k8s.api.core.v1.PodSpec");
    const json_t *volumes = json_at(spec, "properties", "volumes");
    assert_string_equal(json_str(volumes, "x-kubernetes-patch-strategy"), "merge,retainKeys");
    assert_string_equal(json_str(volumes, "x-kubernetes-patch-merge-key"), "name");
    assert_string_equal(json_str(volumes, "x-kubernetes-list-type"), "map");
    assert_string_equal(json_str(volumes, "items", "$ref"), "#/definitions/io.k8s.api.core.v1.Volume");
    assert_string_equal(json_string_value(json_array_get(json_object_get(spec, "required"), 0)),
                        "containers");
    const json_t *pod = json_object_get(definitions, "io.k8s.api.core.v1.Pod");
    const json_t *gvk = json_array_get(json_object_get(pod, "x-kubernetes-group-version-kind"), 0);
    assert_string_equal(json_str(gvk, "kind"), "Pod");
    assert_string_equal(json_str(gvk, "group"), "");
}

static bool has_parameter(const json_t *operation, const char *name)
{
    size_t i;
    json_t *parameter;
    json_array_foreach(json_object_get(operation, "parameters"), i, parameter)
    {
        if (strcmp(json_str_or_empty(parameter, "name"), name) == 0)
            return true;
    }
    return false;
}

static void test_version_3(void **state)
{
    (void)state;
    buf_auto struct buf text = BUF_INIT;
    assert_true(openapi_v3(&text, "apps", "v1"));
    json_auto_t *document = parse(&text);
    const json_t *schemas = json_at(document, "components", "schemas");
    check_refs(document, schemas, "#/components/schemas/");
    check_operations(json_object_get(document, "paths"));
    assert_non_null(json_object_get(schemas, "io.k8s.api.core.v1.PodSpec"));
    assert_null(json_object_get(schemas, "io.k8s.api.core.v1.Secret"));

    const json_t *patch =
        json_at(document, "paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "patch");
    assert_true(has_parameter(patch, "fieldValidation"));
    assert_true(has_parameter(patch, "dryRun"));
    assert_non_null(json_at(patch, "requestBody", "content", "application/apply-patch+yaml"));
    assert_string_equal(json_str(patch, "x-kubernetes-group-version-kind", "kind"), "Deployment");
    const json_t *scale =
        json_at(document, "paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale", "put");
    assert_string_equal(json_str(scale, "x-kubernetes-group-version-kind", "group"), "autoscaling");

    buf_clear(&text);
    assert_false(openapi_v3(&text, "apps", "v2"));
    assert_int_equal(text.len, 0);
}

static void test_index_names_every_group_version(void **state)
{
    (void)state;
    buf_auto struct buf text = BUF_INIT;
    openapi_v3_index(&text);
    json_auto_t *index = parse(&text);
    assert_non_null(json_at(index, "paths", "api/v1", "serverRelativeURL"));
    for (size_t i = 0; i < registry_count(); i++) {
        char api_version[128];
        registry_api_version(api_version, sizeof(api_version), registry_at(i));
        mem_auto char *path = mem_printf("%s/%s", registry_at(i)->group[0] ? "apis" : "api", api_version);
        const char *url = json_str(index, "paths", path, "serverRelativeURL");
        mem_auto char *expected = mem_printf("/openapi/v3/%s?hash=", path);
        assert_non_null(url);
        assert_int_equal(strncmp(url, expected, strlen(expected)), 0);
    }
}

static size_t count_named(const struct pbwire_field *field, uint32_t number)
{
    struct pbwire_reader reader = {field->bytes, field->bytes + field->len};
    struct pbwire_field part;
    size_t count = 0;
    int rc;
    while ((rc = protobuf_wire_next(&reader, &part)) > 0)
        count += part.number == number;
    assert_int_equal(rc, 0);
    return count;
}

/* The protobuf form must have as many paths and definitions as the JSON form. */
static void test_protobuf_of_version_2(void **state)
{
    (void)state;
    buf_auto struct buf text = BUF_INIT, bytes = BUF_INIT;
    openapi_v2(&text);
    openapi_v2_protobuf(&bytes);
    json_auto_t *document = parse(&text);
    struct pbwire_reader reader = {(uint8_t *)bytes.data, (uint8_t *)bytes.data + bytes.len};
    struct pbwire_field field;
    size_t paths = 0, definitions = 0;
    int rc;
    while ((rc = protobuf_wire_next(&reader, &field)) > 0) {
        if (field.number == 8)
            paths = count_named(&field, 2);
        if (field.number == 9)
            definitions = count_named(&field, 1);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(paths, json_object_size(json_object_get(document, "paths")));
    assert_int_equal(definitions, json_object_size(json_object_get(document, "definitions")));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_version_2),
    cmocka_unit_test(test_version_3),
    cmocka_unit_test(test_index_names_every_group_version),
    cmocka_unit_test(test_protobuf_of_version_2),
};
UNIT_MAIN(tests)
