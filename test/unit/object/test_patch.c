/*
 * Patches. The cases of strategic merge follow the documented behaviour of directives and orders; the message
 * of most is a small one with every kind of list.
 */
#include "unit.h"

#include "object/patch.h"
#include "object/registry.h"
#include "schema_fixture.h"

static struct schema_message item_message;
static const struct schema_field item_fields[] = {
    {.name = "name", .type = SCHEMA_STRING},
    {.name = "value", .type = SCHEMA_STRING},
    {.name = "other", .type = SCHEMA_STRING},
    {.name = "items",
     .type = SCHEMA_MESSAGE,
     .shape = SCHEMA_LIST,
     .patch = SCHEMA_PATCH_MERGE,
     .merge_key = "name",
     .message = &item_message},
    {.name = "plain", .type = SCHEMA_MESSAGE, .shape = SCHEMA_LIST, .message = &item_message},
    {.name = "numbers", .type = SCHEMA_INT64, .shape = SCHEMA_LIST, .patch = SCHEMA_PATCH_MERGE},
    {.name = "plainNumbers", .type = SCHEMA_INT64, .shape = SCHEMA_LIST},
    {.name = "map", .type = SCHEMA_STRING, .shape = SCHEMA_MAP},
    {.name = "raw", .type = SCHEMA_RAW},
    {.name = "union", .type = SCHEMA_MESSAGE, .patch = SCHEMA_PATCH_RETAIN_KEYS, .message = &item_message},
    {.name = "unions",
     .type = SCHEMA_MESSAGE,
     .shape = SCHEMA_LIST,
     .patch = SCHEMA_PATCH_MERGE_RETAIN_KEYS,
     .merge_key = "name",
     .message = &item_message},
};

struct patch_case {
    const char *object;
    const char *patch;
    const char *result; /* NULL: the error is expected */
    const char *error;
};

typedef int patch_apply(const json_t *object, const json_t *patch, json_t **out, struct err *err);

/* Cases are written with single quotes in place of double ones. */
static json_t *parsed(const char *text)
{
    char *copy = strdup(text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    json_t *value = json_loads(copy, JSON_DECODE_ANY, NULL);
    if (!value)
        fail_msg("not JSON: %s", copy);
    free(copy);
    return value;
}

static void check(const struct patch_case *c, patch_apply *apply, int code)
{
    json_t *object = parsed(c->object);
    json_t *patch = parsed(c->patch);
    json_t *object_before = json_deep_copy(object);
    json_t *patch_before = json_deep_copy(patch);
    json_t *out = NULL;
    struct err err = {0};
    int rc = apply(object, patch, &out, &err);
    if (c->result) {
        json_t *want = parsed(c->result);
        char *got = rc ? NULL : json_dumps(out, JSON_ENCODE_ANY);
        if (rc || !json_equal(out, want))
            fail_msg("%s + %s\n want %s\n got %s %s", c->object, c->patch, c->result, got ? got : "",
                     err.message);
        free(got);
        json_decref(want);
    } else {
        assert_int_equal(rc, code);
        assert_string_equal(err.message, c->error);
        assert_null(out);
        assert_int_equal(apply(object, patch, &out, NULL), code);
    }
    assert_true(json_equal(object, object_before));
    assert_true(json_equal(patch, patch_before));
    json_decref(out);
    json_decref(object);
    json_decref(patch);
    json_decref(object_before);
    json_decref(patch_before);
}

static int apply_strategic(const json_t *object, const json_t *patch, json_t **out, struct err *err)
{
    return patch_strategic(&item_message, object, patch, out, err);
}

static void check_all(const struct patch_case *cases, size_t count, patch_apply *apply, int code)
{
    for (size_t i = 0; i < count; i++)
        check(&cases[i], apply, code);
}
#define CHECK_ALL(cases, apply, code) check_all(cases, sizeof(cases) / sizeof((cases)[0]), apply, code)

static void test_patch_merge_follows_the_rfc(void **state)
{
    (void)state;
    static const struct patch_case cases[] = {
        {"{'a':'b'}", "{'a':'c'}", "{'a':'c'}", NULL},
        {"{'a':'b'}", "{'b':'c'}", "{'a':'b','b':'c'}", NULL},
        {"{'a':'b'}", "{'a':null}", "{}", NULL},
        {"{'a':'b','b':'c'}", "{'a':null}", "{'b':'c'}", NULL},
        {"{'a':['b']}", "{'a':'c'}", "{'a':'c'}", NULL},
        {"{'a':'c'}", "{'a':['b']}", "{'a':['b']}", NULL},
        {"{'a':{'b':'c'}}", "{'a':{'b':'d','c':null}}", "{'a':{'b':'d'}}", NULL},
        {"{'a':[{'b':'c'}]}", "{'a':[1]}", "{'a':[1]}", NULL},
        {"{'e':null}", "{'a':1}", "{'e':null,'a':1}", NULL},
        {"{}", "{'a':{'bb':{'ccc':null}}}", "{'a':{'bb':{}}}", NULL},
        {"{'a':1}", "[1]", NULL,
         "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"},
    };
    CHECK_ALL(cases, patch_merge, ERR_BAD_REQUEST);
}

static void test_patch_json_operations(void **state)
{
    (void)state;
    static const struct patch_case cases[] = {
        {"{'a':1}", "[{'op':'add','path':'/b','value':2}]", "{'a':1,'b':2}", NULL},
        {"{'a':1}", "[{'op':'add','path':'/a','value':null}]", "{'a':null}", NULL},
        {"{'l':[1,3]}", "[{'op':'add','path':'/l/1','value':2}]", "{'l':[1,2,3]}", NULL},
        {"{'l':[1]}", "[{'op':'add','path':'/l/-','value':2}]", "{'l':[1,2]}", NULL},
        {"{'l':[1]}", "[{'op':'add','path':'/l/1','value':2}]", "{'l':[1,2]}", NULL},
        {"{'l':[1,2]}", "[{'op':'remove','path':'/l/-1'}]", "{'l':[1]}", NULL},
        {"{'l':[1,2]}", "[{'op':'replace','path':'/l/0','value':9}]", "{'l':[9,2]}", NULL},
        {"{'a':{'b':1}}", "[{'op':'remove','path':'/a/b'}]", "{'a':{}}", NULL},
        {"{'a~b':1,'c/d':2}", "[{'op':'remove','path':'/a~0b'},{'op':'replace','path':'/c~1d','value':3}]",
         "{'c/d':3}", NULL},
        {"{'a':{'b':1},'c':{}}", "[{'op':'move','from':'/a/b','path':'/c/d'}]", "{'a':{},'c':{'d':1}}", NULL},
        {"{'l':[1,2,3]}", "[{'op':'move','from':'/l/0','path':'/l/2'}]", "{'l':[2,3,1]}", NULL},
        {"{'a':[1]}", "[{'op':'copy','from':'/a','path':'/b'},{'op':'add','path':'/b/-','value':2}]",
         "{'a':[1],'b':[1,2]}", NULL},
        {"{'a':{'x':1,'y':2}}", "[{'op':'test','path':'/a','value':{'y':2,'x':1}}]", "{'a':{'x':1,'y':2}}",
         NULL},
        {"{'a':1}", "[{'op':'test','path':'/b','value':null}]", "{'a':1}", NULL},
        {"{'a':1}", "[{'op':'test','path':'/a','value':1.0}]", "{'a':1}", NULL},
        {"{'a':1}", "[{'op':'replace','path':'','value':{'b':2}}]", "{'b':2}", NULL},
        {"{'a':1}", "[]", "{'a':1}", NULL},
        {"{'':1}", "[{'op':'remove','path':'/'}]", "{}", NULL},
    };
    CHECK_ALL(cases, patch_json, 0);
}

static void test_patch_json_that_does_not_apply(void **state)
{
    (void)state;
    static const char *const patches[] = {
        "[{'op':'test','path':'/a','value':2}]",
        "[{'op':'test','path':'/z','value':2}]",
        "[{'op':'test','path':'/a','value':null}]",
        "[{'op':'remove','path':'/z'}]",
        "[{'op':'remove','path':'/l/2'}]",
        "[{'op':'remove','path':'/l/-'}]",
        "[{'op':'remove','path':''}]",
        "[{'op':'replace','path':'/z','value':1}]",
        "[{'op':'replace','path':'/a'}]",
        "[{'op':'add','path':'/z/y','value':1}]",
        "[{'op':'add','path':'/l/3','value':1}]",
        "[{'op':'add','path':'/l/x','value':1}]",
        "[{'op':'add','path':'/a/b','value':1}]",
        "[{'op':'add','path':'a','value':1}]",
        "[{'op':'add','path':'/b'}]",
        "[{'op':'copy','path':'/b','from':'/z'}]",
        "[{'op':'move','path':'/b'}]",
        "[{'op':'frob','path':'/a'}]",
        "[{'op':'add','value':1}]",
        "[{'op':'add','path':'/b','value':1},{'op':'test','path':'/b','value':2}]",
    };
    for (size_t i = 0; i < sizeof(patches) / sizeof(patches[0]); i++) {
        struct patch_case c = {"{'a':1,'l':[1,2]}", patches[i], NULL,
                               "the server rejected our request due to an error in our request"};
        check(&c, patch_json, ERR_INVALID);
    }
    static const struct patch_case malformed[] = {
        {"{}", "{}", NULL, "json: cannot unmarshal object into Go value of type jsonpatch.Patch"},
        {"{}", "[1]", NULL, "json: cannot unmarshal number into Go value of type jsonpatch.Operation"},
    };
    CHECK_ALL(malformed, patch_json, ERR_BAD_REQUEST);
}

static void test_patch_json_copies_are_bounded(void **state)
{
    (void)state;
    json_t *object = parsed("{'a':['0123456789012345678901234567890123456789']}");
    json_t *patch = json_array();
    for (int i = 0; i < 30; i++)
        json_array_append_new(patch, parsed("{'op':'copy','from':'/a','path':'/a/-'}"));
    json_t *out = NULL;
    assert_int_equal(patch_json(object, patch, &out, NULL), ERR_INVALID);
    json_decref(object);
    json_decref(patch);
}

static void test_patch_strategic_maps_and_lists(void **state)
{
    (void)state;
    static const struct patch_case cases[] = {
        {"{'name':'a'}", "{'value':'b'}", "{'name':'a','value':'b'}", NULL},
        {"{'name':'a','value':'b'}", "{'value':null}", "{'name':'a'}", NULL},
        {"{'name':'a'}", "{'value':null}", "{'name':'a'}", NULL},
        {"{'map':{'x':'1','y':'2'}}", "{'map':{'x':null,'z':'3'}}", "{'map':{'y':'2','z':'3'}}", NULL},
        {"{'map':{'x':'1'}}", "{'map':{'$patch':'delete'}}", "{'map':{}}", NULL},
        {"{'map':{'x':'1'}}", "{'map':{'$patch':'replace','y':'2'}}", "{'map':{'y':'2'}}", NULL},
        {"{'name':'a','value':'b'}", "{'$patch':'replace','other':'c'}", "{'other':'c'}", NULL},
        {"{'plain':[{'name':'a'}]}", "{'plain':[{'name':'b'}]}", "{'plain':[{'name':'b'}]}", NULL},
        {"{'plainNumbers':[1,2]}", "{'plainNumbers':[3]}", "{'plainNumbers':[3]}", NULL},
        {"{'numbers':[1,2]}", "{'numbers':[2,3]}", "{'numbers':[1,2,3]}", NULL},
        {"{'numbers':[1,2,3]}", "{'numbers':[3,1]}", "{'numbers':[2,3,1]}", NULL},
        {"{'raw':{'a':1,'b':2}}", "{'raw':{'a':3}}", "{'raw':{'a':3}}", NULL},
        {"{'items':[{'name':'a','value':'1'}]}", "{'items':[{'name':'a','other':'2'}]}",
         "{'items':[{'name':'a','value':'1','other':'2'}]}", NULL},
        /* Without an order, what is new goes in front of what is there. */
        {"{'items':[{'name':'a'},{'name':'b'}]}", "{'items':[{'name':'c'}]}",
         "{'items':[{'name':'c'},{'name':'a'},{'name':'b'}]}", NULL},
        {"{'items':[{'name':'a'},{'name':'b'},{'name':'c'}]}",
         "{'items':[{'name':'c','value':'3'},{'name':'a','value':'1'}]}",
         "{'items':[{'name':'b'},{'name':'c','value':'3'},{'name':'a','value':'1'}]}", NULL},
        {"{'items':[{'name':'a'},{'name':'b'},{'name':'a'}]}", "{'items':[{'name':'a','$patch':'delete'}]}",
         "{'items':[{'name':'b'}]}", NULL},
        {"{'items':[{'name':'a'},{'name':'b'}]}", "{'items':[{'name':'c'},{'$patch':'replace'}]}",
         "{'items':[{'name':'c'}]}", NULL},
        {"{'items':[{'name':'a'}]}", "{'items':[{'$patch':'replace'}]}", "{'items':[]}", NULL},
        {"{'name':'x'}", "{'items':[{'name':'a','value':null},{'name':'b','$patch':'delete'}]}",
         "{'name':'x','items':[{'name':'a'}]}", NULL},
        {"{'items':[{'name':'a','items':[{'name':'x'}]}]}",
         "{'items':[{'name':'a','items':[{'name':'x','value':'1'}]}]}",
         "{'items':[{'name':'a','items':[{'name':'x','value':'1'}]}]}", NULL},
    };
    CHECK_ALL(cases, apply_strategic, 0);
}

static void test_patch_strategic_directives(void **state)
{
    (void)state;
    static const struct patch_case cases[] = {
        {"{'numbers':[1,2,3]}", "{'$deleteFromPrimitiveList/numbers':[2,9]}", "{'numbers':[1,3]}", NULL},
        {"{'name':'a'}", "{'$deleteFromPrimitiveList/numbers':[2]}", "{'name':'a'}", NULL},
        {"{'plainNumbers':[1,2]}", "{'$deleteFromPrimitiveList/plainNumbers':[2]}", "{'plainNumbers':[1]}",
         NULL},
        {"{'numbers':[1,2,3]}", "{'$setElementOrder/numbers':[3,1],'$deleteFromPrimitiveList/numbers':[2]}",
         "{'numbers':[3,1]}", NULL},
        {"{'numbers':[1,3]}", "{'$setElementOrder/numbers':[3,2,1]}", "{'numbers':[3,1]}", NULL},
        {"{'items':[{'name':'a'},{'name':'b'},{'name':'c'}]}",
         "{'$setElementOrder/items':[{'name':'c'},{'name':'a'},{'name':'d'}],'items':[{'name':'d'}]}",
         "{'items':[{'name':'b'},{'name':'c'},{'name':'a'},{'name':'d'}]}", NULL},
        {"{'items':[{'name':'a'},{'name':'b'},{'name':'d'}]}",
         "{'$setElementOrder/"
         "items':[{'name':'b'},{'name':'c'}],'items':[{'name':'c'},{'name':'a','$patch':'delete'}]}",
         "{'items':[{'name':'b'},{'name':'d'},{'name':'c'}]}", NULL},
        {"{}",
         "{'$setElementOrder/items':[{'name':'a'}],'items':[{'name':'a'},{'name':'x','$patch':'delete'}]}",
         "{'items':[{'name':'a'}]}", NULL},
        {"{}", "{'$setElementOrder/items':[{'name':'a'}]}", "{}", NULL},
        {"{'union':{'name':'a','value':'1'}}", "{'union':{'$retainKeys':['name','other'],'other':'2'}}",
         "{'union':{'name':'a','other':'2'}}", NULL},
        {"{'unions':[{'name':'a','value':'1'}]}",
         "{'unions':[{'name':'a','$retainKeys':['name','other'],'other':'2','value':null}]}",
         "{'unions':[{'name':'a','other':'2'}]}", NULL},
    };
    CHECK_ALL(cases, apply_strategic, 0);
}

static void test_patch_strategic_errors(void **state)
{
    (void)state;
    static const struct patch_case cases[] = {
        {"{'items':[{'name':'a'}]}", "{'items':[{'value':'b','other':1}]}", NULL,
         "map: map[other:1 value:b] does not contain declared merge key: name"},
        {"{'items':[{'name':'a'}]}", "{'items':[{'value':'b','$patch':'delete'}]}", NULL,
         "map: map[$patch:delete value:b] does not contain declared merge key: name"},
        {"{'items':[{'name':'a'}]}", "{'items':[{'name':'b','$patch':'frob'}]}", NULL,
         "unknown patch type: frob in map: map[$patch:frob name:b]"},
        {"{'map':{'x':'1'}}", "{'map':{'$patch':'frob'}}", NULL,
         "unknown patch type: frob in map: map[$patch:frob]"},
        {"{'items':[{'name':'a'}]}", "{'items':[{'name':'b','$patch':'merge'}]}", NULL,
         "merging lists cannot yet be specified in the patch"},
        {"{'items':[{'name':'a'}]}", "{'items':['a']}", NULL,
         "list element types are not identical: [[map[name:a]] [a]]"},
        {"{'numbers':[1]}", "{'numbers':[[1]]}", NULL, "lists of lists are not supported"},
        {"{'items':[{'name':'1'},{'name':'3'}]}",
         "{'$setElementOrder/items':[{'name':'1'},{'name':'3'}],'items':[{'name':'3'},{'name':'1'}]}", NULL,
         "The order in patch list:\n[map[name:3] map[name:1]]\n doesn't match $setElementOrder list:\n"
         "[map[name:1] map[name:3]]\n"},
        {"{'numbers':[1]}", "{'$setElementOrder/numbers':{}}", NULL, "expected a slice, but received a map"},
        {"{'numbers':[1]}", "{'$setElementOrder':[1]}", NULL, "invalid patch format of setElementOrder list"},
        {"{'numbers':[1]}", "{'$deleteFromPrimitiveList':[1]}", NULL,
         "invalid patch format of primitive list"},
        {"{'union':{'name':'a'}}", "{'union':{'$retainKeys':['name'],'value':'b'}}", NULL,
         "invalid patch format of retainKeys"},
        {"{'union':{'name':'a'}}", "{'union':{'$retainKeys':'name'}}", NULL,
         "invalid patch format of retainKeys"},
        {"{'strange':{'name':'a'}}", "{'strange':{'name':'b'}}", NULL,
         "unable to find api field in struct MergeItem for the json field \"strange\""},
        {"{}", "'x'", NULL,
         "error decoding patch: json: cannot unmarshal string into Go value of type map[string]interface {}"},
    };
    CHECK_ALL(cases, apply_strategic, ERR_BAD_REQUEST);
}

static int apply_deployment(const json_t *object, const json_t *patch, json_t **out, struct err *err)
{
    return patch_strategic(registry_by_kind("apps", "v1", "Deployment")->message, object, patch, out, err);
}

static void test_patch_strategic_of_real_kinds(void **state)
{
    (void)state;
    static const struct patch_case cases[] = {
        {"{'metadata':{'finalizers':['a','b']}}",
         "{'metadata':{'$deleteFromPrimitiveList/finalizers':['a']}}", "{'metadata':{'finalizers':['b']}}",
         NULL},
        {"{'spec':{'template':{'spec':{'containers':[{'name':'a','image':'x:1','ports':[{'containerPort':80}]"
         "},"
         "{'name':'b','image':'y'}]}}}}",
         "{'spec':{'template':{'spec':{'containers':[{'name':'a','image':'x:2','ports':[{'containerPort':80,"
         "'name':'http'}]}]}}}}",
         "{'spec':{'template':{'spec':{'containers':[{'name':'a','image':'x:2','ports':[{'containerPort':80,"
         "'name':'http'}]},{'name':'b','image':'y'}]}}}}",
         NULL},
        {"{'spec':{'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':1}}}}",
         "{'spec':{'strategy':{'$retainKeys':['type'],'type':'Recreate'}}}",
         "{'spec':{'strategy':{'type':'Recreate'}}}", NULL},
        {"{'spec':{'template':{'spec':{'volumes':[{'name':'v','emptyDir':{}}]}}}}",
         "{'spec':{'template':{'spec':{'volumes':[{'$retainKeys':['name','hostPath'],'name':'v','hostPath':{'"
         "path':"
         "'/x'}}]}}}}",
         "{'spec':{'template':{'spec':{'volumes':[{'name':'v','hostPath':{'path':'/x'}}]}}}}", NULL},
    };
    CHECK_ALL(cases, apply_deployment, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_patch_merge_follows_the_rfc),
    cmocka_unit_test(test_patch_json_operations),
    cmocka_unit_test(test_patch_json_that_does_not_apply),
    cmocka_unit_test(test_patch_json_copies_are_bounded),
    cmocka_unit_test(test_patch_strategic_maps_and_lists),
    cmocka_unit_test(test_patch_strategic_directives),
    cmocka_unit_test(test_patch_strategic_errors),
    cmocka_unit_test(test_patch_strategic_of_real_kinds),
};

int main(int argc, char **argv)
{
    schema_fixture_fill(&item_message, "example.MergeItem", item_fields,
                        sizeof(item_fields) / sizeof(item_fields[0]));
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
