/*
 * What a Deployment needs next. The tests play the ReplicaSet controller: after each plan the sets get the
 * status that their pods would give them, and the next plan follows from that.
 */
#include "json_text.h"

#include "client/kube.h"
#include "codec/json.h"
#include "controller/deployment_plan.h"

struct world {
    json_t *deployment;
    json_t *sets;
    int64_t now_us;
    int made;
};

static struct world world_new(int replicas, const char *strategy)
{
    return (struct world){
        .deployment =
            jq("{'metadata':{'name':'web','namespace':'default','uid':'d1','generation':1},'spec':{"
               "'replicas':%d,'progressDeadlineSeconds':600,'revisionHistoryLimit':1,'strategy':%s,"
               "'selector':{'matchLabels':{'app':'web'}},'template':{'metadata':{'labels':{'app':'web'}},"
               "'spec':{'containers':[{'name':'c','image':'v1'}]}}}}",
               replicas, strategy),
        .sets = json_array(),
        .now_us = 1000000000000LL};
}

static void world_free(struct world *w)
{
    json_decref(w->deployment);
    json_decref(w->sets);
}

static void set_image(struct world *w, const char *image)
{
    json_t *container = json_array_get(json_at(w->deployment, "spec", "template", "spec", "containers"), 0);
    json_set_str(container, "image", image);
    json_set_int(json_object_get(w->deployment, "metadata"), "generation",
                 json_int_or(0, w->deployment, "metadata", "generation") + 1);
}

/* Carries a plan out as the controller does. */
static void carry_out(struct world *w, struct deployment_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        json_t *meta = json_object_get(plan->sets[i].rs, "metadata");
        if (plan->create && (int)i == plan->new_index) {
            char uid[32], created[32];
            snprintf(uid, sizeof(uid), "rs%d", ++w->made);
            snprintf(created, sizeof(created), "1970-01-12T13:46:%02dZ", w->made);
            json_set_str(meta, "uid", uid);
            json_set_str(meta, "creationTimestamp", created);
        }
        json_set_int(meta, "generation", json_int_or(0, meta, "generation") + plan->sets[i].dirty);
    }
    json_array_clear(w->sets);
    for (size_t i = 0; i < plan->count; i++) {
        bool removed = false;
        for (size_t j = 0; j < json_array_size(plan->removals); j++)
            removed |=
                !strcmp(json_string_value(json_array_get(plan->removals, j)), kube_name(plan->sets[i].rs));
        if (!removed)
            json_array_append(w->sets, plan->sets[i].rs);
    }
    if (plan->revision)
        json_set_str(json_object_ensure(json_object_get(w->deployment, "metadata"), "annotations"),
                     "deployment.kubernetes.io/revision", plan->revision);
    json_object_set(w->deployment, "status", plan->status);
}

static bool same_sizes(const struct deployment_plan *plan)
{
    bool same = !plan->create && json_array_size(plan->removals) == 0;
    for (size_t i = 0; i < plan->count; i++)
        same &= !plan->sets[i].dirty;
    return same;
}

/* One look; returns whether it changed anything but the status. */
static bool step(struct world *w, bool old_pods)
{
    struct deployment_plan plan;
    deployment_plan(&plan, w->deployment, w->sets, old_pods, w->now_us);
    bool moved = !same_sizes(&plan);
    carry_out(w, &plan);
    deployment_plan_free(&plan);
    return moved;
}

/* Looks until nothing is left to do. */
static void settle(struct world *w)
{
    for (int i = 0; i < 50; i++) {
        json_auto_t *before = json_deep_copy(json_at(w->deployment, "status"));
        if (!step(w, false) && kube_equal(before, json_at(w->deployment, "status")))
            return;
    }
    fail_msg("it does not settle");
}

/* The set's pods: all there, `available` of them available. */
static void set_pods(struct world *w, const char *image, int available)
{
    size_t i;
    json_t *rs;
    json_array_foreach(w->sets, i, rs)
    {
        json_t *container = json_array_get(json_at(rs, "spec", "template", "spec", "containers"), 0);
        if (strcmp(json_str(container, "image"), image) != 0)
            continue;
        int64_t replicas = json_int_or(0, rs, "spec", "replicas");
        int64_t n = available < replicas ? available : replicas;
        json_object_set_new(rs, "status",
                            jq("{'replicas':%lld,'readyReplicas':%lld,'availableReplicas':%lld,"
                               "'observedGeneration':%lld}",
                               (long long)replicas, (long long)n, (long long)n,
                               (long long)json_int_or(0, rs, "metadata", "generation")));
    }
}

static int64_t size_of(const struct world *w, const char *image)
{
    size_t i;
    json_t *rs;
    json_array_foreach(w->sets, i, rs)
    {
        json_t *container = json_array_get(json_at(rs, "spec", "template", "spec", "containers"), 0);
        if (!strcmp(json_str(container, "image"), image))
            return json_int_or(0, rs, "spec", "replicas");
    }
    return -1;
}

static const char *condition(const struct world *w, const char *type, const char *field)
{
    return json_str_or_empty(kube_condition(w->deployment, type), field);
}

#define ROLLING(surge, unavailable) \
    "{'type':'RollingUpdate','rollingUpdate':{'maxSurge':" surge ",'maxUnavailable':" unavailable "}}"

static struct world rolled_out(int replicas, const char *strategy)
{
    struct world w = world_new(replicas, strategy);
    settle(&w);
    set_pods(&w, "v1", replicas);
    settle(&w);
    return w;
}

static void test_first_rollout(void **state)
{
    (void)state;
    struct world w = world_new(3, ROLLING("'25%%'", "'25%%'"));
    assert_true(step(&w, false));
    assert_int_equal(json_array_size(w.sets), 1);
    const json_t *rs = json_array_get(w.sets, 0);
    assert_int_equal(size_of(&w, "v1"), 3);
    assert_string_equal(kube_annotation(rs, "deployment.kubernetes.io/revision"), "1");
    assert_string_equal(kube_annotation(rs, "deployment.kubernetes.io/desired-replicas"), "3");
    assert_string_equal(kube_annotation(rs, "deployment.kubernetes.io/max-replicas"), "4");
    const char *hash = kube_label(rs, "pod-template-hash");
    assert_string_equal(json_str(rs, "spec", "selector", "matchLabels", "pod-template-hash"), hash);
    assert_string_equal(json_str(rs, "spec", "template", "metadata", "labels", "pod-template-hash"), hash);
    assert_string_equal(kube_annotation(w.deployment, "deployment.kubernetes.io/revision"), "1");
    assert_string_equal(condition(&w, "Progressing", "reason"), "NewReplicaSetCreated");
    assert_string_equal(condition(&w, "Available", "reason"), "MinimumReplicasUnavailable");
    set_pods(&w, "v1", 1);
    settle(&w);
    assert_string_equal(condition(&w, "Progressing", "reason"), "ReplicaSetUpdated");
    set_pods(&w, "v1", 3);
    settle(&w);
    assert_string_equal(condition(&w, "Progressing", "reason"), "NewReplicaSetAvailable");
    assert_string_equal(condition(&w, "Available", "status"), "True");
    assert_int_equal(json_int_or(0, w.deployment, "status", "availableReplicas"), 3);
    assert_int_equal(json_int_or(0, w.deployment, "status", "observedGeneration"), 1);
    assert_false(step(&w, false));
    world_free(&w);
}

/* At no moment are there more pods, or fewer available ones, than the strategy allows. */
static void roll(int replicas, int surge, int unavailable)
{
    char strategy[128];
    snprintf(strategy, sizeof(strategy), ROLLING("%d", "%d"), surge, unavailable);
    struct world w = rolled_out(replicas, strategy);
    set_image(&w, "v2");
    int64_t fewest = replicas - (unavailable || surge ? unavailable : 1);
    for (int i = 0; i < 200 && size_of(&w, "v2") < replicas + (size_of(&w, "v1") > 0); i++) {
        step(&w, false);
        int64_t old = size_of(&w, "v1"), new = size_of(&w, "v2");
        assert_true(old + (new > 0 ? new : 0) <= replicas + surge);
        set_pods(&w, "v1", replicas);
        /* One more of the new pods becomes available per round. */
        int64_t available = json_int_or(0, json_array_get(w.sets, json_array_size(w.sets) - 1), "status",
                                        "availableReplicas");
        assert_true(old + available >= fewest);
        set_pods(&w, "v2", (int)available + 1);
    }
    settle(&w);
    set_pods(&w, "v1", 0);
    set_pods(&w, "v2", replicas);
    settle(&w);
    assert_int_equal(size_of(&w, "v1"), 0);
    assert_int_equal(size_of(&w, "v2"), replicas);
    assert_string_equal(condition(&w, "Progressing", "reason"), "NewReplicaSetAvailable");
    world_free(&w);
}

static void test_rolling_update_keeps_bounds(void **state)
{
    (void)state;
    for (int replicas = 1; replicas <= 5; replicas++) {
        for (int surge = 0; surge <= 3; surge++) {
            for (int unavailable = 0; unavailable <= 2 && unavailable <= replicas; unavailable++)
                roll(replicas, surge, unavailable);
        }
    }
}

static void test_unhealthy_old_pods_go_first(void **state)
{
    (void)state;
    struct world w = rolled_out(4, ROLLING("1", "1"));
    set_pods(&w, "v1", 2); /* two of the old pods broke; one may go, as the new one is not there yet */
    set_image(&w, "v2");
    step(&w, false);
    set_pods(&w, "v2", 0);
    step(&w, false);
    assert_int_equal(size_of(&w, "v1"), 3);
    world_free(&w);
}

static void test_undo_reuses_the_old_set(void **state)
{
    (void)state;
    struct world w = rolled_out(2, ROLLING("1", "0"));
    set_image(&w, "v2");
    for (int i = 0; i < 10; i++) {
        settle(&w);
        set_pods(&w, "v1", 2);
        set_pods(&w, "v2", 2);
    }
    assert_int_equal(size_of(&w, "v2"), 2);
    assert_string_equal(kube_annotation(w.deployment, "deployment.kubernetes.io/revision"), "2");
    set_image(&w, "v1");
    settle(&w);
    assert_int_equal(json_array_size(w.sets), 2);
    assert_string_equal(kube_annotation(w.deployment, "deployment.kubernetes.io/revision"), "3");
    assert_string_equal(
        kube_annotation(json_array_get(w.sets, 0), "deployment.kubernetes.io/revision-history"), "1");
    world_free(&w);
}

static void test_recreate_waits_for_old_pods(void **state)
{
    (void)state;
    struct world w = rolled_out(2, "{'type':'Recreate'}");
    set_image(&w, "v2");
    step(&w, true);
    assert_int_equal(size_of(&w, "v1"), 0);
    assert_int_equal(size_of(&w, "v2"), -1);
    step(&w, true);
    assert_int_equal(size_of(&w, "v2"), -1);
    set_pods(&w, "v1", 0);
    step(&w, true); /* its status says so, yet a pod has not ended */
    assert_int_equal(size_of(&w, "v2"), -1);
    step(&w, false);
    assert_int_equal(size_of(&w, "v2"), 2);
    world_free(&w);
}

static void test_scaling_in_a_rollout_is_proportional(void **state)
{
    (void)state;
    struct world w = rolled_out(10, ROLLING("2", "2"));
    set_image(&w, "v2");
    for (int i = 0; i < 3; i++) {
        step(&w, false);
        set_pods(&w, "v1", 10);
        set_pods(&w, "v2", 0);
    }
    int64_t old = size_of(&w, "v1"), new = size_of(&w, "v2");
    assert_int_equal(old, 8);
    assert_int_equal(new, 4);
    json_set_int(json_object_get(w.deployment, "spec"), "replicas", 24);
    step(&w, false);
    assert_int_equal(size_of(&w, "v1"), 17); /* 8 * 26 / 12 */
    assert_int_equal(size_of(&w, "v2"), 9);  /* 4 * 26 / 12, rounded */
    json_set_int(json_object_get(w.deployment, "spec"), "replicas", 5);
    step(&w, false);
    assert_int_equal(size_of(&w, "v1") + size_of(&w, "v2"), 7);
    world_free(&w);
}

static void test_pause_holds_the_rollout(void **state)
{
    (void)state;
    struct world w = rolled_out(2, ROLLING("1", "1"));
    json_object_set_new(json_object_get(w.deployment, "spec"), "paused", json_true());
    set_image(&w, "v2");
    settle(&w);
    assert_int_equal(size_of(&w, "v2"), -1);
    assert_string_equal(condition(&w, "Progressing", "reason"), "DeploymentPaused");
    json_set_int(json_object_get(w.deployment, "spec"), "replicas", 4); /* scaling goes on */
    settle(&w);
    assert_int_equal(size_of(&w, "v1"), 4);
    json_object_del(json_object_get(w.deployment, "spec"), "paused");
    step(&w, false);
    assert_true(size_of(&w, "v2") > 0);
    world_free(&w);
}

static void test_deadline_passes_once(void **state)
{
    (void)state;
    struct world w = rolled_out(1, ROLLING("1", "0"));
    set_image(&w, "broken");
    settle(&w);
    set_pods(&w, "broken", 0);
    settle(&w);
    struct deployment_plan plan;
    deployment_plan(&plan, w.deployment, w.sets, false, w.now_us);
    assert_int_equal(plan.due_us, w.now_us + 601000000);
    deployment_plan_free(&plan);
    w.now_us += 601000000;
    settle(&w);
    assert_string_equal(condition(&w, "Progressing", "reason"), "ProgressDeadlineExceeded");
    assert_string_equal(condition(&w, "Progressing", "status"), "False");
    assert_string_equal(condition(&w, "Available", "status"), "True");
    deployment_plan(&plan, w.deployment, w.sets, false, w.now_us);
    assert_int_equal(plan.due_us, 0);
    deployment_plan_free(&plan);
    /* Late success still ends it well. */
    set_pods(&w, "broken", 1);
    settle(&w);
    set_pods(&w, "v1", 0);
    settle(&w);
    assert_string_equal(condition(&w, "Progressing", "reason"), "NewReplicaSetAvailable");
    world_free(&w);
}

static void test_history_is_limited(void **state)
{
    (void)state;
    struct world w = rolled_out(1, ROLLING("1", "0"));
    static const char *const images[] = {"v2", "v3", "v4"};
    const char *old = "v1";
    for (size_t i = 0; i < 3; i++) {
        set_image(&w, images[i]);
        for (int j = 0; j < 5; j++) {
            settle(&w);
            set_pods(&w, images[i], 1);
            set_pods(&w, old, 1);
        }
        old = images[i];
    }
    assert_int_equal(json_array_size(w.sets), 2); /* the new one and one of the past */
    assert_int_equal(size_of(&w, "v3"), 0);
    world_free(&w);
}

static void test_failure_of_a_set_shows(void **state)
{
    (void)state;
    struct world w = world_new(1, ROLLING("1", "0"));
    settle(&w);
    json_object_set_new(json_array_get(w.sets, 0), "status",
                        jq("{'replicas':0,'conditions':[{'type':'ReplicaFailure','status':'True',"
                           "'reason':'FailedCreate','message':'no quota'}]}"));
    settle(&w);
    assert_string_equal(condition(&w, "ReplicaFailure", "message"), "no quota");
    world_free(&w);
}

static void test_hash_depends_on_template_and_collisions(void **state)
{
    (void)state;
    json_auto_t *a = jq("{'a':1,'b':2}");
    json_auto_t *b = jq("{'b':2,'a':1}");
    json_auto_t *c = jq("{'b':2,'a':3}");
    char x[DEPLOYMENT_HASH_MAX], y[DEPLOYMENT_HASH_MAX];
    deployment_hash(x, a, 0);
    deployment_hash(y, b, 0);
    assert_string_equal(x, y);
    deployment_hash(y, c, 0);
    assert_string_not_equal(x, y);
    deployment_hash(y, a, 1);
    assert_string_not_equal(x, y);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_first_rollout),
    cmocka_unit_test(test_rolling_update_keeps_bounds),
    cmocka_unit_test(test_unhealthy_old_pods_go_first),
    cmocka_unit_test(test_undo_reuses_the_old_set),
    cmocka_unit_test(test_recreate_waits_for_old_pods),
    cmocka_unit_test(test_scaling_in_a_rollout_is_proportional),
    cmocka_unit_test(test_pause_holds_the_rollout),
    cmocka_unit_test(test_deadline_passes_once),
    cmocka_unit_test(test_history_is_limited),
    cmocka_unit_test(test_failure_of_a_set_shows),
    cmocka_unit_test(test_hash_depends_on_template_and_collisions),
};
UNIT_MAIN(tests)
