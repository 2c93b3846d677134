/* node: what it takes from its host and makes of its options. */
#include "unit.h"

#include "node/node_internal.h"

static void pod_network_is_the_first_24(void **state)
{
    (void)state;
    char cidr[NODE_ADDRESS_MAX];
    assert_true(node_pod_cidr(cidr, "10.42.0.0/16"));
    assert_string_equal(cidr, "10.42.0.0/24");
    assert_true(node_pod_cidr(cidr, "10.7.9.200/24"));
    assert_string_equal(cidr, "10.7.9.0/24");
    const char *const bad[] = {"",           "10.42.0.0", "10.42.0.0/", "10.42.0.0/25", "10.42.0.0/x",
                               "10.42.0/16", "fd00::/64"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(node_pod_cidr(cidr, bad[i]));
}

static void first_service_address_follows_the_network(void **state)
{
    (void)state;
    char address[NODE_ADDRESS_MAX];
    assert_true(node_first_service_address(address, "10.43.0.0/16"));
    assert_string_equal(address, "10.43.0.1");
    assert_false(node_first_service_address(address, "10.43.0.0/31"));
}

static void bridges_of_two_nodes_differ(void **state)
{
    (void)state;
    char a[16], b[16], standard[16];
    node_bridge_name(a, "/srv/a");
    node_bridge_name(b, "/srv/b");
    node_bridge_name(standard, "/var/lib/katena");
    assert_string_not_equal(a, b);
    assert_string_equal(standard, "katena0");
    assert_true(strlen(a) < 16);
}

static void a_network_that_an_interface_has_is_taken(void **state)
{
    (void)state;
    char interface[IFNAMSIZ];
    assert_true(node_network_taken(interface, "127.0.0.0/24", "katena0"));
    assert_string_equal(interface, "lo");
    assert_false(node_network_taken(interface, "127.0.0.0/24", "lo"));
    assert_false(node_network_taken(interface, "203.0.113.0/24", "katena0"));
}

static void the_default_name_is_a_node_name(void **state)
{
    (void)state;
    char name[NODE_NAME_MAX];
    node_default_name(name);
    assert_true(strlen(name) > 0);
    assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-."), strlen(name));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(pod_network_is_the_first_24),
    cmocka_unit_test(first_service_address_follows_the_network),
    cmocka_unit_test(bridges_of_two_nodes_differ),
    cmocka_unit_test(a_network_that_an_interface_has_is_taken),
    cmocka_unit_test(the_default_name_is_a_node_name),
};

UNIT_MAIN(tests)
