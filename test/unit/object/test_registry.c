/* The registry and the schema look-ups over the compiled tables. */
#include "unit.h"

#include "object/registry.h"

#include <stdbool.h>

static void test_finds_kinds_by_resource_and_kind(void **state)
{
    (void)state;
    const struct schema_kind *kind = registry_by_resource("apps", "v1", "deployments");
    assert_non_null(kind);
    assert_string_equal(kind->kind, "Deployment");
    assert_string_equal(kind->message->name, "io.k8s.api.apps.v1.Deployment");
    assert_string_equal(kind->list_message->name, "io.k8s.api.apps.v1.DeploymentList");
    assert_ptr_equal(kind, registry_by_kind("apps", NULL, "Deployment"));
    assert_null(registry_by_resource("", "v1", "deployments"));
    assert_null(registry_by_resource("apps", "v2", "deployments"));

    char text[64];
    registry_api_version(text, sizeof(text), kind);
    assert_string_equal(text, "apps/v1");
    registry_api_version(text, sizeof(text), registry_by_kind("", "v1", "Pod"));
    assert_string_equal(text, "v1");
}

static void test_kinds_are_sorted_and_whole(void **state)
{
    (void)state;
    const struct schema_kind *before = NULL;
    for (size_t i = 0; i < registry_count(); i++) {
        const struct schema_kind *kind = registry_at(i);
        if (before) {
            int order = strcmp(before->group, kind->group);
            assert_true(order < 0 || (order == 0 && strcmp(before->plural, kind->plural) < 0));
        }
        assert_non_null(schema_field_by_name(kind->message, "apiVersion"));
        assert_non_null(schema_field_by_name(kind->message, "metadata"));
        assert_true(kind->virtual_ == (kind->list_message == NULL));
        before = kind;
    }
    assert_null(registry_at(registry_count()));
}

static void test_finds_messages_of_options_and_subresources(void **state)
{
    (void)state;
    const struct schema_message *options = registry_message_by_kind("", "v1", "DeleteOptions");
    assert_non_null(options);
    assert_ptr_equal(options, registry_message("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"));
    assert_ptr_equal(options, registry_message_by_kind("apps", "v1", "DeleteOptions"));
    assert_non_null(registry_message_by_kind("autoscaling", "v1", "Scale"));
    assert_non_null(registry_message_by_kind("policy", "v1", "Eviction"));
    assert_non_null(registry_message_by_kind("", "v1", "PodList"));
    assert_null(registry_message_by_kind("", "v1", "PodSpec"));
    assert_null(registry_message("io.k8s.api.core.v1.Nothing"));
}

/* Every member must be found under its name and no other; inlined messages count as the parent's. */
static void test_members_are_found_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < registry_message_count(); i++) {
        const struct schema_message *message = registry_message_at(i);
        assert_ptr_equal(message, registry_message(message->name));
        for (size_t j = 0; j < message->member_count; j++) {
            const struct schema_member *member = &message->members[j];
            assert_int_equal(member->name_len, strlen(member->name));
            assert_ptr_equal(member, schema_member_find(message, member->name, member->name_len));
        }
        assert_null(schema_field_by_name(message, "katena"));
    }
    const struct schema_message *volume = registry_message("io.k8s.api.core.v1.Volume");
    const struct schema_field *field = schema_field_by_name(volume, "emptyDir");
    assert_non_null(field);
    assert_string_equal(field->message->name, "io.k8s.api.core.v1.EmptyDirVolumeSource");
    assert_null(schema_field_by_name(volume, "emptydir"));
}

static void test_facts_of_some_fields(void **state)
{
    (void)state;
    const struct schema_message *spec = registry_message("io.k8s.api.core.v1.PodSpec");
    const struct schema_field *containers = schema_field_by_name(spec, "containers");
    assert_int_equal(containers->number, 2);
    assert_int_equal(containers->shape, SCHEMA_LIST);
    assert_int_equal(containers->list_type, SCHEMA_LIST_MAP);
    assert_int_equal(containers->patch, SCHEMA_PATCH_MERGE);
    assert_string_equal(containers->merge_key, "name");
    assert_string_equal(containers->map_keys[0], "name");
    assert_null(containers->map_keys[1]);
    assert_true(containers->required);
    assert_ptr_equal(containers, schema_field_by_number(spec, 2));

    const struct schema_field *volumes = schema_field_by_name(spec, "volumes");
    assert_int_equal(volumes->patch, SCHEMA_PATCH_MERGE_RETAIN_KEYS);
    const struct schema_field *selector = schema_field_by_name(spec, "nodeSelector");
    assert_true(selector->atomic && selector->shape == SCHEMA_MAP && selector->type == SCHEMA_STRING);
    const struct schema_field *grace = schema_field_by_name(spec, "terminationGracePeriodSeconds");
    assert_true(grace->pointer && grace->omit_empty && grace->type == SCHEMA_INT64);

    const struct schema_message *port = registry_message("io.k8s.api.core.v1.ServicePort");
    assert_string_equal(schema_field_by_name(port, "protocol")->default_json, "\"TCP\"");
    assert_string_equal(schema_field_by_name(port, "protocol")->enum_values[0], "SCTP");
    assert_int_equal(schema_field_by_name(port, "targetPort")->type, SCHEMA_INT_OR_STRING);
    assert_null(schema_field_by_number(spec, 0));
    assert_null(schema_field_by_number(spec, 4000));
}

/* api/descriptions.json must follow what hack/gen-schemas brings in. */
static void test_everything_is_described(void **state)
{
    (void)state;
    for (size_t i = 0; i < registry_message_count(); i++) {
        const struct schema_message *message = registry_message_at(i);
        if (!message->description[0])
            fail_msg("%s has no description", message->name);
        for (size_t j = 0; j < message->member_count; j++)
            if (!message->members[j].field->description[0])
                fail_msg("%s.%s has no description", message->name, message->members[j].name);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_everything_is_described),
    cmocka_unit_test(test_finds_kinds_by_resource_and_kind),
    cmocka_unit_test(test_kinds_are_sorted_and_whole),
    cmocka_unit_test(test_finds_messages_of_options_and_subresources),
    cmocka_unit_test(test_members_are_found_by_name),
    cmocka_unit_test(test_facts_of_some_fields),
};
UNIT_MAIN(tests)
