/* The rules of a transaction at its place, one by one. */
#include "unit.h"

#include "chain/script.h"
#include "validator_fixture.h"

static struct validator_fixture f;
static struct err err;
static uint8_t ns_id[TX_ID_SIZE];

#define CM(name) tx_fixture_key_of("configmaps", "default", name)

static int setup(void **state)
{
    (void)state;
    validator_fixture_begin(&f);
    struct tx *tx = tx_fixture_create(&f.tx, tx_fixture_key_of("namespaces", "", "default"), "{}");
    memcpy(ns_id, tx->id, TX_ID_SIZE);
    assert_int_equal(validator_fixture_run(&f, tx, &err), 0);
    validator_fixture_commit(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    validator_fixture_end(&f);
    return 0;
}

static void check(struct tx *tx, int code, const char *message)
{
    int rc = validator_fixture_run(&f, tx, &err);
    if (rc != code)
        print_error("%d: %s\n", rc, err.message);
    assert_int_equal(rc, code);
    if (message)
        assert_string_equal(err.message, message);
}

static void test_origin(void **state)
{
    (void)state;
    struct tx *tx = tx_fixture_new(&f.tx, "create");
    tx->chain_id[0] ^= 1;
    tx_fixture_put(tx, tx_fixture_key_of("nodes", "", "n"), "{}");
    tx_fixture_sign(&f.tx, tx);
    check(tx, ERR_FORBIDDEN, "the transaction belongs to another chain");

    uint8_t public_key[TX_KEY_SIZE], secret_key[64];
    tx_fixture_key(public_key, secret_key, 42);
    tx = tx_fixture_new(&f.tx, "create");
    tx_fixture_put(tx, tx_fixture_key_of("nodes", "", "n"), "{}");
    assert_int_equal(tx_sign(tx, secret_key, NULL), 0);
    check(tx, ERR_FORBIDDEN, "the transaction is signed by no validator of this chain");

    tx = tx_fixture_create(&f.tx, tx_fixture_key_of("nodes", "", "n"), "{}");
    tx->trusted = false;
    tx->node_signature[8] ^= 1;
    check(tx, ERR_FORBIDDEN, "the signature of the accepting node is wrong");
}

static void test_create(void **state)
{
    (void)state;
    check(tx_fixture_create(&f.tx, CM("a"), "{}"), 0, NULL);
    check(tx_fixture_create(&f.tx, CM("a"), "{}"), ERR_EXISTS, "configmaps \"a\" already exists");
    struct resource_key deployment = {"apps", "deployments", "default", "web"};
    check(tx_fixture_create(&f.tx, deployment, "{}"), 0, NULL);
    validator_fixture_commit(&f);
    check(tx_fixture_create(&f.tx, deployment, "{}"), ERR_EXISTS, "deployments.apps \"web\" already exists");
    check(tx_fixture_create(&f.tx, tx_fixture_key_of("pods", "x", "p"), "{}"), ERR_NOT_FOUND,
          "namespaces \"x\" not found");

    struct tx *tx = tx_fixture_new(&f.tx, "create");
    tx_fixture_put(tx, CM("b"), "{}");
    tx_fixture_sign(&f.tx, tx);
    check(tx, ERR_INVALID, "the transaction creates in namespace \"default\" without an input of it");
}

static void test_change(void **state)
{
    (void)state;
    struct tx *create = tx_fixture_create(&f.tx, CM("a"), "{}");
    uint8_t first[TX_ID_SIZE], second[TX_ID_SIZE];
    memcpy(first, create->id, TX_ID_SIZE);
    check(tx_fixture_update(&f.tx, CM("a"), first, "{}"), ERR_NOT_FOUND, "configmaps \"a\" not found");
    check(create, 0, NULL);
    struct tx *update = tx_fixture_update(&f.tx, CM("a"), first, "{\"v\":2}");
    memcpy(second, update->id, TX_ID_SIZE);
    check(update, 0, NULL);
    validator_fixture_commit(&f);
    check(
        tx_fixture_update(&f.tx, CM("a"), first, "{}"), ERR_STALE,
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your "
        "changes to the latest version and try again");
    struct tx *strict = tx_fixture_new(&f.tx, "delete");
    strict->strict = true;
    tx_fixture_input(strict, TX_INPUT_DIRECT, CM("a"), first);
    struct tx_output gone = {.op = TX_OUTPUT_DELETE, .key = CM("a")};
    tx_add_output(strict, &gone);
    tx_fixture_sign(&f.tx, strict);
    check(strict, ERR_CONFLICT, NULL);
    check(tx_fixture_delete(&f.tx, CM("a"), second), 0, NULL);
    check(tx_fixture_delete(&f.tx, CM("a"), second), ERR_NOT_FOUND, "configmaps \"a\" not found");
    check(tx_fixture_create(&f.tx, CM("a"), "{}"), 0, NULL);
}

static void test_shape(void **state)
{
    (void)state;
    struct tx *tx = tx_fixture_new(&f.tx, "create");
    tx_fixture_put(tx, tx_fixture_key_of("nodes", "", "n"), "{}");
    tx_fixture_put(tx, tx_fixture_key_of("nodes", "", "n"), "{}");
    tx_fixture_sign(&f.tx, tx);
    check(tx, ERR_INVALID, "two outputs of the transaction have one key");

    tx = tx_fixture_new(&f.tx, "update");
    tx_fixture_input(tx, TX_INPUT_DIRECT, CM("other"), ns_id);
    tx_fixture_put(tx, tx_fixture_key_of("nodes", "", "n"), "{}");
    tx_fixture_sign(&f.tx, tx);
    check(tx, ERR_INVALID, "no output of the transaction has its direct input's key");

    tx = tx_fixture_new(&f.tx, "create");
    tx_fixture_input(tx, TX_INPUT_INDIRECT, tx_fixture_key_of("namespaces", "", "default"), ns_id);
    tx_fixture_input(tx, TX_INPUT_INDIRECT, tx_fixture_key_of("namespaces", "", "default"), ns_id);
    tx_fixture_put(tx, CM("a"), "{}");
    tx_fixture_sign(&f.tx, tx);
    check(tx, ERR_INVALID, "two inputs of the transaction have one key");

    /* A create of what is there is no update in disguise. */
    check(tx_fixture_create(&f.tx, CM("a"), "{}"), 0, NULL);
    tx = tx_fixture_new(&f.tx, "create");
    tx_fixture_input(tx, TX_INPUT_DIRECT, CM("a"), f.kept[f.kept_count - 1]->id);
    tx_fixture_put(tx, CM("a"), "{}");
    tx_fixture_sign(&f.tx, tx);
    check(tx, ERR_INVALID, "a create cannot have a direct input");
}

static void test_parent_in_same_transaction(void **state)
{
    (void)state;
    struct tx *tx = tx_fixture_new(&f.tx, "create");
    tx_fixture_put(tx, tx_fixture_key_of("namespaces", "", "new"), "{}");
    tx_fixture_put(tx, tx_fixture_key_of("serviceaccounts", "new", "default"), "{}");
    tx_fixture_sign(&f.tx, tx);
    check(tx, 0, NULL);
}

static void test_nothing_of_a_refused_one_stays(void **state)
{
    (void)state;
    struct tx *tx = tx_fixture_new(&f.tx, "create");
    tx_fixture_put(tx, tx_fixture_key_of("nodes", "", "n"), "{}");
    tx_fixture_put(tx, tx_fixture_key_of("namespaces", "", "default"), "{}");
    tx_fixture_sign(&f.tx, tx);
    check(tx, ERR_EXISTS, NULL);
    assert_int_equal(state_view_outputs(f.view), 0);
    check(tx_fixture_create(&f.tx, tx_fixture_key_of("nodes", "", "n"), "{}"), 0, NULL);
}

static struct tx *pod_claim(const char *verb, const char *name, const uint8_t *old, int64_t cpu,
                            const char *node)
{
    struct tx *tx = tx_fixture_new(&f.tx, verb);
    if (old)
        tx_fixture_input(tx, TX_INPUT_DIRECT, tx_fixture_key_of("pods", "default", name), old);
    else
        tx_fixture_input(tx, TX_INPUT_INDIRECT, tx_fixture_key_of("namespaces", "", "default"), ns_id);
    struct tx_output output = {.op = TX_OUTPUT_PUT,
                               .key = tx_fixture_key_of("pods", "default", name),
                               .encoding = TX_CONTENT_PLAIN,
                               .content = (const uint8_t *)"{}",
                               .content_len = 2,
                               .claim = {node, cpu, 10, 1}};
    tx_add_output(tx, &output);
    tx_fixture_sign(&f.tx, tx);
    return tx;
}

static void node_put(const char *verb, const uint8_t *old, int64_t cpu)
{
    struct tx *tx = tx_fixture_new(&f.tx, verb);
    if (old)
        tx_fixture_input(tx, TX_INPUT_DIRECT, tx_fixture_key_of("nodes", "", "n"), old);
    struct tx_output output = {.op = TX_OUTPUT_PUT,
                               .key = tx_fixture_key_of("nodes", "", "n"),
                               .encoding = TX_CONTENT_PLAIN,
                               .content = (const uint8_t *)"{}",
                               .content_len = 2,
                               .claim = {"n", cpu, 1000, 3}};
    tx_add_output(tx, &output);
    tx_fixture_sign(&f.tx, tx);
    check(tx, 0, NULL);
}

static void test_claims(void **state)
{
    (void)state;
    check(pod_claim("create", "a", NULL, 100, "n"), ERR_NOT_FOUND, "nodes \"n\" not found");
    node_put("create", NULL, 1000);
    uint8_t node_id[TX_ID_SIZE], a_id[TX_ID_SIZE];
    memcpy(node_id, f.kept[f.kept_count - 1]->id, TX_ID_SIZE);
    check(pod_claim("create", "a", NULL, 600, "n"), 0, NULL);
    memcpy(a_id, f.kept[f.kept_count - 1]->id, TX_ID_SIZE);
    check(pod_claim("create", "b", NULL, 500, "n"), ERR_CONFLICT,
          "Operation cannot be fulfilled on pods \"b\": node \"n\" has not enough cpu");
    check(pod_claim("create", "b", NULL, 400, "n"), 0, NULL);
    validator_fixture_commit(&f);
    check(pod_claim("create", "c", NULL, 1, "n"), ERR_CONFLICT, NULL);
    /* A smaller node stays full; who is there may shrink, but not grow. */
    node_put("update", node_id, 500);
    check(pod_claim("update", "a", a_id, 600, "n"), 0, NULL);
    memcpy(a_id, f.kept[f.kept_count - 1]->id, TX_ID_SIZE);
    check(pod_claim("update", "a", a_id, 601, "n"), ERR_CONFLICT, NULL);
    check(pod_claim("update", "a", a_id, 0, NULL), 0, NULL);
    check(pod_claim("create", "d", NULL, 100, "n"), 0, NULL);
    check(pod_claim("create", "e", NULL, 0, "n"), 0, NULL);
    check(pod_claim("create", "g", NULL, 0, "n"), ERR_CONFLICT,
          "Operation cannot be fulfilled on pods \"g\": node \"n\" has not enough pods");
    validator_fixture_commit(&f);
    struct tx_claim sum;
    assert_int_equal(state_view_claimed(f.view, "n", &sum, &err), 0);
    assert_int_equal(sum.cpu_milli, 500);
    assert_int_equal(sum.pods, 3);
}

static void test_claims_of_one_transaction_add_up(void **state)
{
    (void)state;
    node_put("create", NULL, 1000);
    struct tx *tx = tx_fixture_new(&f.tx, "create");
    tx_fixture_input(tx, TX_INPUT_INDIRECT, tx_fixture_key_of("namespaces", "", "default"), ns_id);
    for (int i = 0; i < 2; i++) {
        struct tx_output output = {.op = TX_OUTPUT_PUT,
                                   .key = tx_fixture_key_of("pods", "default", i ? "a" : "b"),
                                   .encoding = TX_CONTENT_PLAIN,
                                   .content = (const uint8_t *)"{}",
                                   .content_len = 2,
                                   .claim = {"n", 600, 10, 1}};
        tx_add_output(tx, &output);
    }
    tx_fixture_sign(&f.tx, tx);
    check(tx, ERR_CONFLICT, NULL);
}

static struct tx *by_user(const char *user, const char *verb, const char *sub, struct resource_key key,
                          const uint8_t *old)
{
    static const char *const groups[] = {"system:authenticated"};
    struct tx *tx = tx_fixture_new(&f.tx, verb);
    tx_set_user(tx, user, groups, 1);
    tx_set_verb(tx, verb, sub);
    if (old)
        tx_fixture_input(tx, TX_INPUT_DIRECT, key, old);
    else
        tx_fixture_input(tx, TX_INPUT_INDIRECT, tx_fixture_key_of("namespaces", "", "default"), ns_id);
    tx_fixture_put(tx, key, "{}");
    tx_fixture_sign(&f.tx, tx);
    return tx;
}

static void grant(const char *verbs_json, const char *resources_json)
{
    char role[256];
    snprintf(role, sizeof(role), "{\"rules\":[{\"verbs\":%s,\"apiGroups\":[\"\"],\"resources\":%s}]}",
             verbs_json, resources_json);
    struct resource_key role_key = {"rbac.authorization.k8s.io", "clusterroles", "", "r"};
    struct resource_key binding_key = {"rbac.authorization.k8s.io", "clusterrolebindings", "", "b"};
    struct tx *tx = tx_fixture_new(&f.tx, "create");
    tx_fixture_put(tx, role_key, role);
    tx_fixture_put(
        tx, binding_key,
        "{\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"r\"},\"subjects\":[{\"kind\":\"User\",\"name\":"
        "\"jane\"}]}");
    tx_fixture_sign(&f.tx, tx);
    check(tx, 0, NULL);
}

static void test_rbac_at_the_place(void **state)
{
    (void)state;
    check(by_user("jane", "create", "", CM("a"), NULL), ERR_FORBIDDEN,
          "configmaps \"a\" is forbidden: User \"jane\" cannot create resource \"configmaps\" in API group "
          "\"\" in "
          "the namespace \"default\"");
    grant("[\"create\",\"update\"]", "[\"configmaps\"]");
    check(by_user("jane", "create", "", CM("a"), NULL), 0, NULL); /* in the same block as the grant */
    uint8_t id[TX_ID_SIZE];
    memcpy(id, f.kept[f.kept_count - 1]->id, TX_ID_SIZE);
    check(by_user("bob", "update", "", CM("a"), id), ERR_FORBIDDEN, NULL);
    check(by_user("jane", "patch", "", CM("a"), id), ERR_FORBIDDEN, NULL);
    check(by_user("jane", "apply", "", CM("a"), id), ERR_FORBIDDEN,
          "configmaps \"a\" is forbidden: User \"jane\" cannot patch resource \"configmaps\" in API group "
          "\"\" in the "
          "namespace \"default\"");
    check(by_user("jane", "update", "status", CM("a"), id), ERR_FORBIDDEN, NULL);
    check(by_user("jane", "update", "", CM("a"), id), 0, NULL);
    validator_restart(f.v);
    check(by_user("jane", "create", "", CM("z"), NULL), ERR_FORBIDDEN, NULL);
}

static void test_creating_by_patch_needs_both(void **state)
{
    (void)state;
    grant("[\"patch\"]", "[\"configmaps\"]");
    check(by_user("jane", "apply", "", CM("a"), NULL), ERR_FORBIDDEN, NULL);
    validator_restart(f.v);
    grant("[\"patch\",\"create\"]", "[\"configmaps\"]");
    check(by_user("jane", "apply", "", CM("a"), NULL), 0, NULL);
}

static void test_creating_a_subresource_makes_no_object(void **state)
{
    (void)state;
    grant("[\"create\"]", "[\"pods/binding\"]");
    check(by_user("jane", "create", "binding", tx_fixture_key_of("pods", "default", "p"), NULL),
          ERR_FORBIDDEN, NULL);
}

/* An object that is locked to its owner's key: RBAC of the mighty does not help. */
static void test_lock_to_a_key(void **state)
{
    (void)state;
    uint8_t owner[TX_KEY_SIZE], owner_secret[64];
    tx_fixture_key(owner, owner_secret, 55);
    buf_auto struct buf lock = BUF_INIT;
    script_lock_key(&lock, owner);
    struct tx *tx = tx_fixture_new(&f.tx, "create");
    tx_fixture_input(tx, TX_INPUT_INDIRECT, tx_fixture_key_of("namespaces", "", "default"), ns_id);
    struct tx_output output = {.op = TX_OUTPUT_PUT,
                               .key = CM("mine"),
                               .encoding = TX_CONTENT_PLAIN,
                               .content = (const uint8_t *)"{}",
                               .content_len = 2,
                               .lock = (const uint8_t *)lock.data,
                               .lock_len = lock.len};
    tx_add_output(tx, &output);
    tx_fixture_sign(&f.tx, tx);
    uint8_t id[TX_ID_SIZE];
    memcpy(id, tx->id, TX_ID_SIZE);
    check(tx, 0, NULL);
    validator_fixture_commit(&f);
    check(tx_fixture_update(&f.tx, CM("mine"), id, "{}"), ERR_FORBIDDEN,
          "the locking script does not allow it");

    /* The id is known before the unlocking data, which is made over it. */
    tx = tx_fixture_new(&f.tx, "update");
    tx_fixture_input(tx, TX_INPUT_DIRECT, CM("mine"), id);
    tx_fixture_put(tx, CM("mine"), "{}");
    tx_prepare(tx, f.tx.public_key);
    uint8_t message[TX_SIGNED_SIZE], signature[TX_SIGNATURE_SIZE];
    tx_signed_bytes(tx, message);
    crypto_sign_detached(signature, NULL, message, sizeof(message), owner_secret);
    buf_auto struct buf unlock = BUF_INIT;
    script_unlock_item(&unlock, signature, sizeof(signature));
    struct tx_input *input = (struct tx_input *)tx->inputs;
    input->unlock = (const uint8_t *)unlock.data;
    input->unlock_len = unlock.len;
    tx_fixture_sign(&f.tx, tx);
    check(tx, 0, NULL);

    tx = tx_fixture_new(&f.tx, "create");
    tx_fixture_input(tx, TX_INPUT_INDIRECT, tx_fixture_key_of("namespaces", "", "default"), ns_id);
    output.key = CM("broken");
    output.lock = (const uint8_t *)"\xff";
    output.lock_len = 1;
    tx_add_output(tx, &output);
    tx_fixture_sign(&f.tx, tx);
    check(tx, ERR_INVALID, "the locking script is malformed");
}

static void test_pruned(void **state)
{
    (void)state;
    struct tx *tx = tx_fixture_create(&f.tx, CM("a"), "{}");
    struct tx *pruned;
    assert_int_equal(tx_decode_pruned(&pruned, tx->encoded, tx->prefix_len, NULL), 0);
    tx_free(tx);
    check(pruned, ERR_INVALID, "the transaction's body is absent");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_origin, setup, teardown),
    cmocka_unit_test_setup_teardown(test_create, setup, teardown),
    cmocka_unit_test_setup_teardown(test_change, setup, teardown),
    cmocka_unit_test_setup_teardown(test_shape, setup, teardown),
    cmocka_unit_test_setup_teardown(test_parent_in_same_transaction, setup, teardown),
    cmocka_unit_test_setup_teardown(test_nothing_of_a_refused_one_stays, setup, teardown),
    cmocka_unit_test_setup_teardown(test_claims, setup, teardown),
    cmocka_unit_test_setup_teardown(test_claims_of_one_transaction_add_up, setup, teardown),
    cmocka_unit_test_setup_teardown(test_rbac_at_the_place, setup, teardown),
    cmocka_unit_test_setup_teardown(test_creating_by_patch_needs_both, setup, teardown),
    cmocka_unit_test_setup_teardown(test_creating_a_subresource_makes_no_object, setup, teardown),
    cmocka_unit_test_setup_teardown(test_lock_to_a_key, setup, teardown),
    cmocka_unit_test_setup_teardown(test_pruned, setup, teardown),
};

UNIT_MAIN(tests)
