/* Makes a small chain for the tests of katena chain: make_chain DATA_DIR [COMMAND]. The command runs while
 * the chain is open, as beside a running node. */
#include "ledger_fixture.h"

#include "base/log.h"

#include <stdlib.h>

static void put(struct ledger *ledger, const char *resource, const char *name, const char *value)
{
    struct err err;
    if (fixture_put(ledger, resource, name, value, NULL, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

/* An object whose content is not plain, as a Secret's. */
static void put_sealed(struct ledger *ledger, const char *name)
{
    struct tx *tx = tx_new();
    static const char *const groups[] = {"system:masters"};
    struct tx_input input = {.kind = TX_INPUT_INDIRECT, .key = fixture_key("namespaces", FIXTURE_NAMESPACE)};
    struct tx_output output = {.op = TX_OUTPUT_PUT,
                               .key = fixture_key("secrets", name),
                               .uid = "uid",
                               .encoding = TX_CONTENT_SEALED,
                               .content = (const uint8_t *)"\x01\x02\x03",
                               .content_len = 3};
    struct err err;
    fixture_find(ledger, &input.key, input.tx_id, NULL);
    tx_set_user(tx, "alice", groups, 1);
    tx_set_verb(tx, "create", "");
    tx_add_input(tx, &input);
    tx_add_output(tx, &output);
    if (ledger_encode(ledger, tx, &err) < 0 || ledger_submit_wait(ledger, tx, NULL, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct ledger_options options = {.data_dir = argc > 1 ? argv[1] : ""};
    struct ledger *ledger;
    struct err err;
    log_set_level(LOG_LEVEL_ERROR);
    if (ledger_open(&ledger, &options, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    put(ledger, "namespaces", FIXTURE_NAMESPACE, "x");
    put(ledger, "configmaps", "web", "1");
    put(ledger, "configmaps", "other", "1");
    put(ledger, "configmaps", "web", "2");
    put(ledger, "configmaps", "other", NULL);
    put_sealed(ledger, "token");
    int status = argc > 2 ? system(argv[2]) : 0;
    ledger_close(ledger);
    return status ? 1 : 0;
}
