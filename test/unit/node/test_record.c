/* What a node remembers of its place in the cluster. */
#include "unit.h"

#include "base/mem.h"
#include "node/node_record.h"

#include <sys/stat.h>
#include <unistd.h>

static struct node_record make_record(void)
{
    struct registry_validator all[3] = {0};
    const uint8_t own[TX_KEY_SIZE] = {2};
    struct node_record record = {.has_chain = true, .chain_id = {7}, .joined = true};
    snprintf(record.name, sizeof(record.name), "node-b");
    snprintf(record.cluster_cidr, sizeof(record.cluster_cidr), "10.42.0.0/16");
    snprintf(record.service_cidr, sizeof(record.service_cidr), "10.43.0.0/16");
    snprintf(record.servers, sizeof(record.servers), "https://10.0.0.1:6443");
    for (uint8_t i = 0; i < 3; i++) {
        snprintf(all[i].name, sizeof(all[i].name), "node-%c", 'a' + i);
        all[i].key[0] = i + 1;
        snprintf(all[i].addresses[0], REGISTRY_ADDRESS_MAX, "10.0.0.%u:6444", i + 1);
        all[i].address_count = 1;
    }
    node_record_set_peers(&record, all, 3, own);
    return record;
}

static void assert_same(const struct node_record *a, const struct node_record *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->has_chain, b->has_chain);
    assert_int_equal(a->joined, b->joined);
    assert_int_equal(a->removed, b->removed);
    assert_int_equal(a->outdated, b->outdated);
    assert_memory_equal(a->chain_id, b->chain_id, sizeof(a->chain_id));
    assert_string_equal(a->service_cidr, b->service_cidr);
    assert_string_equal(a->servers, b->servers);
    assert_string_equal(a->rotation.token, b->rotation.token);
    assert_int_equal(a->rotation.left, b->rotation.left);
    assert_int_equal(a->peer_count, b->peer_count);
    for (size_t i = 0; i < a->peer_count; i++) {
        assert_string_equal(a->peers[i].name, b->peers[i].name);
        assert_memory_equal(a->peers[i].key, b->peers[i].key, TX_KEY_SIZE);
        assert_string_equal(a->peers[i].addresses[0], b->peers[i].addresses[0]);
    }
}

static void peers_are_the_others(void **state)
{
    (void)state;
    struct node_record record = make_record();
    assert_int_equal(record.peer_count, 2);
    assert_string_equal(record.peers[0].name, "node-a");
    assert_string_equal(record.peers[1].name, "node-c");
    node_record_free(&record);
}

static void text_gives_the_record_back(void **state)
{
    (void)state;
    struct node_record record = make_record(), back;
    buf_auto struct buf text = BUF_INIT;
    snprintf(record.rotation.token, sizeof(record.rotation.token), "K1token");
    snprintf(record.rotation.servers, sizeof(record.rotation.servers), "https://a:1");
    record.rotation.left = true;
    record.removed = record.outdated = true;
    node_record_encode(&text, &record);
    assert_int_equal(node_record_decode(&back, text.data, text.len, NULL), 0);
    assert_same(&record, &back);
    node_record_free(&back);
    node_record_free(&record);
}

static void damaged_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "{", "[]", "{\"chain\":\"12\"}",
                                      "{\"peers\":[{\"name\":\"a\",\"key\":\"x\"}]}"};
    struct node_record back;
    struct err err;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(node_record_decode(&back, bad[i], strlen(bad[i]), &err), ERR_CORRUPT);
}

static void file_is_private_and_written_when_it_changes(void **state)
{
    (void)state;
    char dir[] = "/tmp/katena-record-XXXXXX";
    struct node_record record = make_record(), back;
    struct stat first, second;
    struct err err;
    assert_non_null(mkdtemp(dir));
    mem_auto char *path = mem_printf("%s/node.json", dir);
    assert_int_equal(node_record_load(&back, dir, &err), 0);
    assert_false(back.has_chain);
    assert_int_equal(node_record_save(&record, dir, &err), 0);
    assert_int_equal(stat(path, &first), 0);
    assert_int_equal(first.st_mode & 0777, 0600);
    assert_int_equal(node_record_save(&record, dir, &err), 0);
    assert_int_equal(stat(path, &second), 0);
    assert_int_equal(first.st_ino, second.st_ino); /* not replaced */
    assert_int_equal(node_record_load(&back, dir, &err), 0);
    assert_same(&record, &back);
    node_record_free(&back);
    record.removed = true;
    assert_int_equal(node_record_save(&record, dir, &err), 0);
    assert_int_equal(node_record_load(&back, dir, &err), 0);
    assert_true(back.removed);
    node_record_free(&back);
    node_record_free(&record);
    unlink(path);
    assert_int_equal(rmdir(dir), 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(peers_are_the_others),
    cmocka_unit_test(text_gives_the_record_back),
    cmocka_unit_test(damaged_text_is_refused),
    cmocka_unit_test(file_is_private_and_written_when_it_changes),
};
UNIT_MAIN(tests)
