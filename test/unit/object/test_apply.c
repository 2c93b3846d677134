/*
 * Field ownership: what managedFields hold after writes and applies, as Kubernetes 1.35 shows them, and the
 * words of conflicts.
 */
#include "unit.h"

#include "object/apply.h"
#include "object/decode.h"
#include "object/registry.h"
#include "object/semantics.h"

#define NOW "2026-01-02T03:04:05Z"
#define LATER "2026-01-02T03:05:00Z"

/* Cases are written with single quotes in place of double ones. */
static json_t *parsed(const char *text)
{
    char *copy = strdup(text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    json_error_t error;
    json_t *value = json_loads(copy, JSON_DECODE_ANY, &error);
    if (!value)
        fail_msg("not JSON: %s in %s", error.text, copy);
    free(copy);
    return value;
}

static const struct schema_kind *kind_named(const char *name)
{
    const struct schema_kind *kind = registry_by_kind(!strcmp(name, "Deployment") ? "apps" : "", "v1", name);
    assert_non_null(kind);
    return kind;
}

/* An object as the API has it before it is written. */
static json_t *object_of(const char *kind, const char *text)
{
    json_t *sent = parsed(text);
    json_t *object = NULL;
    struct err err = {0};
    if (decode_json(kind_named(kind)->message, sent, &object, NULL, &err))
        fail_msg("%s", err.message);
    json_decref(sent);
    defaults_apply(kind_named(kind), object);
    return object;
}

static void track(const char *kind, const json_t *live, json_t *object, const char *name,
                  const char *subresource, const char *time)
{
    struct apply_manager manager = {name, strcmp(kind, "Deployment") ? "v1" : "apps/v1", subresource, time};
    apply_track_update(kind_named(kind), live, object, &manager);
}

static const json_t *entries_of(const json_t *object)
{
    return json_object_get(json_object_get(object, "metadata"), "managedFields");
}

/* Compares texts, so that the order of path elements counts. */
static void expect_entry(const json_t *object, size_t index, const char *manager, const char *operation,
                         const char *time, const char *fields)
{
    const json_t *entry = json_array_get(entries_of(object), index);
    if (!entry) {
        char *all = json_dumps(object, JSON_INDENT(1));
        fail_msg("no entry %zu in %s", index, all);
    }
    assert_string_equal(json_string_value(json_object_get(entry, "manager")), manager);
    assert_string_equal(json_string_value(json_object_get(entry, "operation")), operation);
    assert_string_equal(json_string_value(json_object_get(entry, "fieldsType")), "FieldsV1");
    const char *got_time = json_string_value(json_object_get(entry, "time"));
    assert_string_equal(got_time ? got_time : "", time);
    json_t *want = parsed(fields);
    char *want_text = json_dumps(want, JSON_COMPACT);
    char *got_text = json_dumps(json_object_get(entry, "fieldsV1"), JSON_COMPACT);
    assert_string_equal(got_text, want_text);
    free(want_text);
    free(got_text);
    json_decref(want);
}

static void expect_entries(const json_t *object, size_t count)
{
    if (json_array_size(entries_of(object)) != count) {
        char *all = json_dumps(entries_of(object), JSON_INDENT(1));
        fail_msg("%zu entries, not %zu: %s", json_array_size(entries_of(object)), count, all);
    }
}

static const char deployment[] =
    "{'apiVersion':'apps/"
    "v1','kind':'Deployment','metadata':{'name':'x','labels':{'app':'x'}},'spec':{'selector':"
    "{'matchLabels':{'app':'x'}},'template':{'metadata':{'labels':{'app':'x'}},'spec':{'containers':[{'name':"
    "'nginx',"
    "'image':'nginx:1'}]}}}}";

static void test_track_create_of_a_deployment(void **state)
{
    (void)state;
    json_t *object = object_of("Deployment", deployment);
    track("Deployment", NULL, object, "kubectl-create", "", NOW);
    expect_entries(object, 1);
    expect_entry(
        object, 0, "kubectl-create", "Update", NOW,
        "{'f:metadata':{'f:labels':{'.':{},'f:app':{}}},'f:spec':{'f:progressDeadlineSeconds':{},'f:replicas'"
        ":{},"
        "'f:revisionHistoryLimit':{},'f:selector':{},'f:strategy':{'f:rollingUpdate':{'.':{},'f:maxSurge':{},"
        "'f:maxUnavailable':{}},'f:type':{}},'f:template':{'f:metadata':{'f:labels':{'.':{},'f:app':{}}},'f:"
        "spec':{"
        "'f:containers':{'k:{\\'name\\':\\'nginx\\'}':{'.':{},'f:image':{},'f:imagePullPolicy':{},'f:name':{}"
        ","
        "'f:resources':{},'f:terminationMessagePath':{},'f:terminationMessagePolicy':{}}},'f:dnsPolicy':{},"
        "'f:restartPolicy':{},'f:schedulerName':{},'f:securityContext':{},'f:terminationGracePeriodSeconds':{"
        "}}}}}");
    json_decref(object);
}

static void test_track_create_of_other_kinds(void **state)
{
    (void)state;
    json_t *object = object_of(
        "ConfigMap", "{'metadata':{'name':'x','uid':'u','resourceVersion':'1'},'data':{'b':'1','a':'2'}}");
    track("ConfigMap", NULL, object, "", "", NOW);
    expect_entry(object, 0, "unknown", "Update", NOW, "{'f:data':{'.':{},'f:a':{},'f:b':{}}}");
    json_decref(object);

    object = object_of("Service", "{'metadata':{'name':'x','finalizers':['b','a']},'spec':{'ports':[{'port':"
                                  "443},{'port':80}],'selector':{'a':'b'}}}");
    track("Service", NULL, object, "m", "", NOW);
    expect_entry(
        object, 0, "m", "Update", NOW,
        "{'f:metadata':{'f:finalizers':{'.':{},'v:\\'a\\'':{},'v:\\'b\\'':{}}},"
        "'f:spec':{'f:internalTrafficPolicy':{},'f:ports':{'.':{},'k:{\\'port\\':80,\\'protocol\\':\\'TCP\\'}"
        "':"
        "{'.':{},'f:port':{},'f:protocol':{},'f:targetPort':{}},'k:{\\'port\\':443,\\'protocol\\':\\'TCP\\'}'"
        ":"
        "{'.':{},'f:port':{},'f:protocol':{},'f:targetPort':{}}},'f:selector':{},'f:sessionAffinity':{},"
        "'f:type':{}}}");
    json_decref(object);

    object = object_of("Namespace", "{'metadata':{'name':'x'}}");
    track("Namespace", NULL, object, "m", "", NOW);
    expect_entry(object, 0, "m", "Update", NOW,
                 "{'f:metadata':{'f:labels':{'.':{},'f:kubernetes.io/metadata.name':{}}}}");
    json_decref(object);

    object = object_of("ConfigMap", "{'metadata':{'name':'x'}}");
    track("ConfigMap", NULL, object, "m", "", NOW);
    expect_entries(object, 0);
    json_decref(object);
}

static void test_track_update_takes_what_changed(void **state)
{
    (void)state;
    json_t *live = object_of("ConfigMap", "{'metadata':{'name':'x'},'data':{'a':'1','b':'1','c':'1'}}");
    track("ConfigMap", NULL, live, "first", "", NOW);
    json_t *next = object_of("ConfigMap", "{'metadata':{'name':'x'},'data':{'a':'1','b':'2','d':'1'}}");
    track("ConfigMap", live, next, "second", "", LATER);
    expect_entries(next, 2);
    expect_entry(next, 0, "first", "Update", NOW, "{'f:data':{'.':{},'f:a':{}}}");
    expect_entry(next, 1, "second", "Update", LATER, "{'f:data':{'f:b':{},'f:d':{}}}");

    /* The same again changes nothing, not even a time. */
    json_t *same = json_deep_copy(next);
    track("ConfigMap", next, same, "third", "", "2026-02-02T03:05:00Z");
    assert_true(json_equal(entries_of(next), entries_of(same)));
    json_decref(same);

    /* Removing alone is no ownership: the time of the others stays, and an empty entry goes. */
    json_t *less = object_of("ConfigMap", "{'metadata':{'name':'x'},'data':{'a':'1'}}");
    track("ConfigMap", next, less, "second", "", "2026-02-02T03:05:00Z");
    expect_entries(less, 1);
    expect_entry(less, 0, "first", "Update", NOW, "{'f:data':{'.':{},'f:a':{}}}");

    /* A manager's later changes join its entry. */
    json_t *more = object_of("ConfigMap", "{'metadata':{'name':'x'},'data':{'a':'1','e':'1'}}");
    track("ConfigMap", less, more, "first", "", LATER);
    expect_entries(more, 1);
    expect_entry(more, 0, "first", "Update", LATER, "{'f:data':{'.':{},'f:a':{},'f:e':{}}}");
    json_decref(live);
    json_decref(next);
    json_decref(less);
    json_decref(more);
}

static void test_track_subresources_apart(void **state)
{
    (void)state;
    json_t *live = object_of("Deployment", deployment);
    track("Deployment", NULL, live, "kubectl", "", NOW);
    json_t *next = json_deep_copy(live);
    json_object_set_new(
        next, "status",
        parsed("{'replicas':1,'conditions':[{'type':'Available','status':'True','lastUpdateTime':null,"
               "'lastTransitionTime':null}]}"));
    track("Deployment", live, next, "manager", "status", LATER);
    expect_entries(next, 2);
    expect_entry(next, 1, "manager", "Update", LATER,
                 "{'f:status':{'f:conditions':{'.':{},'k:{\\'type\\':\\'Available\\'}':{'.':{},'f:"
                 "lastTransitionTime':{},"
                 "'f:lastUpdateTime':{},'f:status':{},'f:type':{}}},'f:replicas':{}}}");
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(entries_of(next), 1), "subresource")), "status");

    /* A write of the object itself does not own its status, whatever it sends. */
    json_t *third = json_deep_copy(next);
    json_object_set_new(json_object_get(third, "status"), "replicas", json_integer(5));
    json_object_set_new(json_object_get(third, "spec"), "replicas", json_integer(5));
    track("Deployment", next, third, "other", "", LATER);
    expect_entries(third, 3);
    expect_entry(third, 2, "other", "Update", LATER, "{'f:spec':{'f:replicas':{}}}");
    json_decref(live);
    json_decref(next);
    json_decref(third);
}

static void test_track_managed_fields_of_the_client(void **state)
{
    (void)state;
    json_t *live = object_of("ConfigMap", "{'metadata':{'name':'x'},'data':{'a':'1'}}");
    track("ConfigMap", NULL, live, "first", "", NOW);

    /* What a client sends counts, in whatever order it writes keys. */
    json_t *sent = object_of(
        "ConfigMap",
        "{'metadata':{'name':'x','managedFields':[{'manager':'z','operation':'Update',"
        "'apiVersion':'v1','fieldsType':'FieldsV1','fieldsV1':{'f:data':{'f:a':{}}}}]},'data':{'a':'1'}}");
    track("ConfigMap", live, sent, "second", "", LATER);
    expect_entries(sent, 1);
    expect_entry(sent, 0, "z", "Update", "", "{'f:data':{'f:a':{}}}");
    json_decref(sent);

    /* One empty entry gives up tracking until the first apply. */
    sent = object_of("ConfigMap", "{'metadata':{'name':'x','managedFields':[{}]},'data':{'a':'2'}}");
    track("ConfigMap", live, sent, "second", "", LATER);
    expect_entries(sent, 0);
    json_t *next = object_of("ConfigMap", "{'metadata':{'name':'x'},'data':{'a':'3'}}");
    track("ConfigMap", sent, next, "second", "", LATER);
    expect_entries(next, 0);
    json_decref(sent);
    json_decref(next);

    /* Malformed ones are passed over in favour of the live object's. */
    sent = object_of("ConfigMap", "{'metadata':{'name':'x','managedFields':[{'manager':'z','operation':'Frob'"
                                  ",'apiVersion':'v1'}]},'data':{'a':'1'}}");
    track("ConfigMap", live, sent, "second", "", LATER);
    expect_entry(sent, 0, "first", "Update", NOW, "{'f:data':{'.':{},'f:a':{}}}");
    json_decref(sent);
    json_decref(live);
}

static void test_track_caps_the_managers(void **state)
{
    (void)state;
    json_t *live = object_of("ConfigMap", "{'metadata':{'name':'x'},'data':{'k':'1'}}");
    track("ConfigMap", NULL, live, "m00", "", NOW);
    for (int i = 1; i <= 12; i++) {
        char name[16];
        char time[64];
        snprintf(name, sizeof(name), "m%02d", i);
        snprintf(time, sizeof(time), "2026-02-02T03:%02d:00Z", i);
        json_t *next = json_deep_copy(live);
        json_object_set_new(json_object_get(next, "data"), name, json_string("1"));
        track("ConfigMap", live, next, name, "", time);
        json_decref(live);
        live = next;
    }
    expect_entries(live, 10);
    expect_entry(live, 0, "ancient-changes", "Update", "2026-02-02T03:03:00Z",
                 "{'f:data':{'.':{},'f:k':{},'f:m01':{},'f:m02':{},'f:m03':{}}}");
    json_decref(live);
}

/* ---- Server-side apply ---- */

struct applied {
    int rc;
    json_t *object;
    json_t *causes;
    struct err err;
};

static struct applied apply(const char *kind, const json_t *live, const char *text, const char *manager,
                            bool force, const char *time)
{
    json_t *sent = parsed(text);
    json_t *config = NULL;
    struct applied out = {0};
    if (decode_json_as_sent(kind_named(kind)->message, sent, &config, NULL, &out.err))
        fail_msg("%s", out.err.message);
    json_t *live_before = live ? json_deep_copy(live) : NULL;
    json_t *config_before = json_deep_copy(config);
    struct apply_manager who = {manager, strcmp(kind, "Deployment") ? "v1" : "apps/v1", "", time};
    out.rc =
        apply_server_side(kind_named(kind), live, config, &who, force, &out.object, &out.causes, &out.err);
    assert_true(!live || json_equal(live, live_before));
    assert_true(json_equal(config, config_before));
    json_decref(live_before);
    json_decref(config_before);
    json_decref(config);
    json_decref(sent);
    return out;
}

static void applied_free(struct applied *applied)
{
    json_decref(applied->object);
    json_decref(applied->causes);
}

static json_t *apply_ok(const char *kind, const json_t *live, const char *text, const char *manager,
                        bool force, const char *time)
{
    struct applied out = apply(kind, live, text, manager, force, time);
    if (out.rc)
        fail_msg("%s", out.err.message);
    json_decref(out.causes);
    return out.object;
}

static void expect_member(const json_t *object, const char *member, const char *want_text)
{
    json_t *want = parsed(want_text);
    if (!json_equal(json_object_get(object, member), want)) {
        char *got = json_dumps(json_object_get(object, member), JSON_ENCODE_ANY);
        fail_msg("%s is %s, not %s", member, got, want_text);
    }
    json_decref(want);
}

#define CM "'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'x'}"

static void test_apply_creates_and_owns_what_was_sent(void **state)
{
    (void)state;
    json_t *object = apply_ok("Deployment", NULL, deployment, "me", false, NOW);
    expect_entries(object, 1);
    expect_entry(
        object, 0, "me", "Apply", NOW,
        "{'f:metadata':{'f:labels':{'f:app':{}}},'f:spec':{'f:selector':{},'f:template':{'f:metadata':{"
        "'f:labels':{'f:app':{}}},'f:spec':{'f:containers':{'k:{\\'name\\':\\'nginx\\'}':{'.':{},'f:image':{}"
        ","
        "'f:name':{}}}}}}}");
    json_decref(object);
}

/* What apply leaves must be what a later write of the same finds: nobody comes to own empty structs by it. */
static void test_apply_result_is_complete(void **state)
{
    (void)state;
    json_t *applied = apply_ok("Deployment", NULL, deployment, "me", false, NOW);
    defaults_apply(kind_named("Deployment"), applied);
    json_t *again = NULL;
    assert_int_equal(decode_json(kind_named("Deployment")->message, applied, &again, NULL, NULL), 0);
    assert_true(json_equal(applied, again));
    json_decref(applied);
    json_decref(again);
}

static void test_apply_removes_what_it_no_longer_has(void **state)
{
    (void)state;
    json_t *one = apply_ok("ConfigMap", NULL, "{" CM ",'data':{'a':'1','b':'1'}}", "me", false, NOW);
    json_t *two = apply_ok("ConfigMap", one, "{" CM ",'data':{'a':'1'}}", "me", false, LATER);
    expect_member(two, "data", "{'a':'1'}");
    expect_entry(two, 0, "me", "Apply", LATER, "{'f:data':{'f:a':{}}}");

    /* What another applier has too stays, and so does what nobody applied. */
    json_t *shared = apply_ok("ConfigMap", one, "{" CM ",'data':{'b':'1'}}", "other", false, LATER);
    expect_entries(shared, 2);
    json_t *kept = apply_ok("ConfigMap", shared, "{" CM ",'data':{'a':'1'}}", "me", false, LATER);
    expect_member(kept, "data", "{'a':'1','b':'1'}");
    json_t *edited = json_deep_copy(one);
    json_object_set_new(json_object_get(edited, "data"), "c", json_string("1"));
    track("ConfigMap", one, edited, "editor", "", LATER);
    json_t *mixed = apply_ok("ConfigMap", edited, "{" CM "}", "me", false, LATER);
    expect_member(mixed, "data", "{'c':'1'}");
    expect_entries(mixed, 1);
    json_decref(one);
    json_decref(two);
    json_decref(shared);
    json_decref(kept);
    json_decref(edited);
    json_decref(mixed);
}

/* An empty struct that is applied owns itself, not what others put into it. */
static void test_apply_of_an_empty_struct(void **state)
{
    (void)state;
    static const char empty[] =
        "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'x'},'spec':{'template':{}}}";
    json_t *live = object_of("Deployment", deployment);
    json_t *one = apply_ok("Deployment", live, empty, "me", false, NOW);
    json_t *two = apply_ok("Deployment", one, empty, "me", false, LATER);
    assert_true(json_equal(one, two));
    assert_int_equal(json_array_size(json_object_get(
                         json_object_get(json_object_get(json_object_get(two, "spec"), "template"), "spec"),
                         "containers")),
                     1);
    json_decref(live);
    json_decref(one);
    json_decref(two);
}

static void test_apply_of_the_same_keeps_the_time(void **state)
{
    (void)state;
    json_t *one = apply_ok("ConfigMap", NULL, "{" CM ",'data':{'a':'1'}}", "me", false, NOW);
    json_t *two = apply_ok("ConfigMap", one, "{" CM ",'data':{'a':'1'}}", "me", false, LATER);
    assert_true(json_equal(one, two));
    json_decref(one);
    json_decref(two);
}

static void test_apply_conflicts(void **state)
{
    (void)state;
    json_t *live = object_of("Deployment", deployment);
    track("Deployment", NULL, live, "kubectl-create", "", NOW);

    struct applied out =
        apply("Deployment", live,
              "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'x'},'spec':{'replicas':3}}",
              "me", false, LATER);
    assert_int_equal(out.rc, ERR_CONFLICT);
    assert_string_equal(out.err.message,
                        "Apply failed with 1 conflict: conflict with \"kubectl-create\" using apps/v1: "
                        ".spec.replicas");
    json_t *causes =
        parsed("[{'reason':'FieldManagerConflict','message':'conflict with \\'kubectl-create\\' using "
               "apps/v1','field':'.spec.replicas'}]");
    assert_true(json_equal(out.causes, causes));
    assert_null(out.object);
    json_decref(causes);
    applied_free(&out);

    static const char several[] =
        "{'apiVersion':'apps/"
        "v1','kind':'Deployment','metadata':{'name':'x','labels':{'app':'y'}},'spec':{'replicas':3,"
        "'template':{'spec':{'containers':[{'name':'nginx','image':'nginx:2'}]}}}}";
    out = apply("Deployment", live, several, "me", false, LATER);
    assert_int_equal(out.rc, ERR_CONFLICT);
    assert_string_equal(out.err.message,
                        "Apply failed with 3 conflicts: conflicts with \"kubectl-create\" using apps/v1:\n"
                        "- .metadata.labels.app\n- .spec.replicas\n"
                        "- .spec.template.spec.containers[name=\"nginx\"].image");
    assert_int_equal(json_array_size(out.causes), 3);
    applied_free(&out);

    json_t *forced = apply_ok("Deployment", live, several, "me", true, LATER);
    expect_entries(forced, 2);
    expect_entry(forced, 0, "me", "Apply", LATER,
                 "{'f:metadata':{'f:labels':{'f:app':{}}},'f:spec':{'f:replicas':{},'f:template':{'f:spec':{"
                 "'f:containers':{'k:{\\'name\\':\\'nginx\\'}':{'.':{},'f:image':{},'f:name':{}}}}}}}");
    assert_null(json_object_get(
        json_object_get(json_object_get(json_array_get(entries_of(forced), 1), "fieldsV1"), "f:spec"),
        "f:replicas"));

    /* The same value is shared, without a conflict. */
    json_t *same =
        apply_ok("Deployment", live,
                 "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'x'},'spec':{'replicas':1}}",
                 "me", false, LATER);
    expect_entries(same, 2);
    json_decref(forced);
    json_decref(same);
    json_decref(live);
}

static void test_apply_conflicts_of_several_managers(void **state)
{
    (void)state;
    json_t *one = apply_ok("ConfigMap", NULL, "{" CM ",'data':{'a':'1','b':'1'}}", "zed", false, NOW);
    json_t *two = json_deep_copy(one);
    json_object_set_new(json_object_get(two, "data"), "c", json_string("1"));
    track("ConfigMap", one, two, "editor", "", LATER);
    struct applied out =
        apply("ConfigMap", two, "{" CM ",'data':{'a':'2','b':'2','c':'2'}}", "me", false, LATER);
    assert_int_equal(out.rc, ERR_CONFLICT);
    assert_string_equal(out.err.message,
                        "Apply failed with 3 conflicts: conflicts with \"editor\" using v1:\n- .data.c\n"
                        "conflicts with \"zed\":\n- .data.a\n- .data.b");
    applied_free(&out);
    json_decref(one);
    json_decref(two);
}

static void test_apply_adopts_objects_without_owners(void **state)
{
    (void)state;
    json_t *live = object_of("ConfigMap", "{" CM ",'data':{'a':'1','b':'1'}}");
    struct applied out = apply("ConfigMap", live, "{" CM ",'data':{'a':'2'}}", "me", false, NOW);
    assert_int_equal(out.rc, ERR_CONFLICT);
    assert_string_equal(
        out.err.message,
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.a");
    applied_free(&out);
    json_t *next = apply_ok("ConfigMap", live, "{" CM ",'data':{'a':'1'}}", "me", false, NOW);
    expect_entries(next, 2);
    expect_entry(next, 0, "me", "Apply", "", "{'f:data':{'f:a':{}}}");
    expect_entry(next, 1, "before-first-apply", "Update", NOW, "{'f:data':{'.':{},'f:a':{},'f:b':{}}}");
    json_decref(next);
    json_decref(live);
}

static void test_apply_after_client_side_apply(void **state)
{
    (void)state;
    json_t *live = object_of(
        "ConfigMap",
        "{'metadata':{'name':'x','annotations':{"
        "'kubectl.kubernetes.io/last-applied-configuration':"
        "'{\\'apiVersion\\':\\'v1\\',\\'kind\\':\\'ConfigMap\\',\\'metadata\\':{\\'name\\':\\'x\\'},"
        "\\'data\\':{\\'a\\':\\'1\\',\\'b\\':\\'0\\'}}'}},'data':{'a':'1','b':'1'}}");
    track("ConfigMap", NULL, live, "kubectl-client-side-apply", "", NOW);

    /* kubectl may change what it last applied itself, but not what somebody changed since. */
    struct applied out =
        apply("ConfigMap", live, "{" CM ",'data':{'a':'2','b':'2'}}", "kubectl", false, LATER);
    assert_int_equal(out.rc, ERR_CONFLICT);
    assert_string_equal(
        out.err.message,
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using v1: .data.b");
    applied_free(&out);
    out = apply("ConfigMap", live, "{" CM ",'data':{'a':'2'}}", "somebody", false, LATER);
    assert_int_equal(out.rc, ERR_CONFLICT);
    applied_free(&out);
    json_t *next = apply_ok("ConfigMap", live, "{" CM ",'data':{'a':'2'}}", "kubectl", false, LATER);
    expect_member(next, "data", "{'a':'2','b':'1'}");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(json_object_get(next, "metadata"), "annotations"),
                                          "kubectl.kubernetes.io/last-applied-configuration")),
        "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"2\"},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\"}}"
        "\n");
    json_decref(next);
    json_decref(live);
}

static void test_apply_orders_lists(void **state)
{
    (void)state;
    static const struct {
        const char *live;
        const char *config;
        const char *result;
    } cases[] = {
        {"abc", "abc", "abc"}, {"abc", "cba", "cba"}, {"abc", "b", "abc"},      {"ab", "c", "abc"},
        {"abc", "ca", "bca"},  {"", "ab", "ab"},      {"abcd", "dxa", "bcdxa"}, {"abc", "xa", "xabc"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *live = parsed("{'metadata':{'name':'x'}}");
        json_t *list = json_array();
        for (const char *p = cases[i].live; *p; p++)
            json_array_append_new(list, json_stringn(p, 1));
        json_object_set_new(json_object_get(live, "metadata"), "finalizers", list);
        json_t *config = parsed("{'metadata':{'name':'x'}}");
        list = json_array();
        for (const char *p = cases[i].config; *p; p++)
            json_array_append_new(list, json_stringn(p, 1));
        json_object_set_new(json_object_get(config, "metadata"), "finalizers", list);
        struct apply_manager who = {"me", "v1", "", NOW};
        json_t *out = NULL;
        assert_int_equal(
            apply_server_side(kind_named("ConfigMap"), live, config, &who, true, &out, NULL, NULL), 0);
        char got[16] = "";
        size_t n;
        json_t *item;
        json_array_foreach(json_object_get(json_object_get(out, "metadata"), "finalizers"), n, item)
            strcat(got, json_string_value(item));
        if (strcmp(got, cases[i].result))
            fail_msg("%s with %s is %s, not %s", cases[i].live, cases[i].config, got, cases[i].result);
        json_decref(out);
        json_decref(live);
        json_decref(config);
    }
}

static void test_apply_refuses_what_has_no_identity(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{'spec':{'template':{'spec':{'containers':[{'image':'a'}]}}}}",
         "failed to create typed patch object: .spec.template.spec.containers: element 0: associative list "
         "with keys "
         "has an element that omits all key fields [\"name\"] (and doesn't have default values for any key "
         "fields)"},
        {"{'spec':{'template':{'spec':{'containers':[{'name':'a'},{'name':'a'}]}}}}",
         "failed to create typed patch object: .spec.template.spec.containers: duplicate entries for key "
         "[name=\"a\"]"},
        {"{'metadata':{'managedFields':[{}]}}", "metadata.managedFields must be nil"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct applied out = apply("Deployment", NULL, cases[i][0], "me", false, NOW);
        assert_int_equal(out.rc, ERR_BAD_REQUEST);
        assert_string_equal(out.err.message, cases[i][1]);
        applied_free(&out);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_track_create_of_a_deployment),
    cmocka_unit_test(test_track_create_of_other_kinds),
    cmocka_unit_test(test_track_update_takes_what_changed),
    cmocka_unit_test(test_track_subresources_apart),
    cmocka_unit_test(test_track_managed_fields_of_the_client),
    cmocka_unit_test(test_track_caps_the_managers),
    cmocka_unit_test(test_apply_creates_and_owns_what_was_sent),
    cmocka_unit_test(test_apply_result_is_complete),
    cmocka_unit_test(test_apply_removes_what_it_no_longer_has),
    cmocka_unit_test(test_apply_of_an_empty_struct),
    cmocka_unit_test(test_apply_of_the_same_keeps_the_time),
    cmocka_unit_test(test_apply_conflicts),
    cmocka_unit_test(test_apply_conflicts_of_several_managers),
    cmocka_unit_test(test_apply_adopts_objects_without_owners),
    cmocka_unit_test(test_apply_after_client_side_apply),
    cmocka_unit_test(test_apply_orders_lists),
    cmocka_unit_test(test_apply_refuses_what_has_no_identity),
};

UNIT_MAIN(tests)
