/* A block store in memory for each test, and a place for another. A test file includes this once. */
#ifndef KATENA_TEST_STORE_SETUP_H
#define KATENA_TEST_STORE_SETUP_H

#include "unit.h"
#include "scratch.h"
#include "store_fixture.h"

#include "base/log.h"

static struct tx_fixture f;
static struct scratch dir, other;
static struct blockstore *store;

static struct blockstore *open_at(const char *path)
{
    struct blockstore_options options = {.dir = path, .first_segment = 65536};
    struct blockstore *opened = NULL;
    struct err err;
    if (blockstore_open(&opened, &options, &err))
        fail_msg("%s", err.message);
    return opened;
}

static int setup(void **state)
{
    (void)state;
    struct err err;
    log_set_level(LOG_LEVEL_ERROR + 1);
    tx_fixture_begin(&f);
    scratch_make_in_memory(&dir);
    scratch_make_in_memory(&other);
    store = open_at(dir.path);
    assert_int_equal(store_fixture_genesis(&f, store, &err), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    blockstore_close(store);
    scratch_remove(&dir);
    scratch_remove(&other);
    tx_fixture_end(&f);
    return 0;
}

#endif
