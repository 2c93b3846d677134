/* Quantities: values as resource.Quantity has them, and when a text is kept as the client wrote it. */
#include "unit.h"

#include "object/quantity.h"

static void test_quantity_rounds_up_to_the_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t milli;
        int64_t value;
    } cases[] = {
        {"0", 0, 0},
        {"1", 1000, 1},
        {"500m", 500, 1},
        {"0.5", 500, 1},
        {"1500m", 1500, 2},
        {"1n", 1, 1},
        {"100u", 1, 1},
        {"9.01", 9010, 10},
        {"-9.01", -9010, -10},
        {"1Ki", 1024000, 1024},
        {"1.1Ki", 1126400, 1127},
        {"1.5Gi", 1610612736000, 1610612736},
        {"2k", 2000000, 2000},
        {"1e3", 1000000, 1000},
        {"1E3", 1000000, 1000},
        {"1E", INT64_MAX, 1000000000000000000},
        {"1e-3", 1, 1},
        {"+5", 5000, 5},
        {"-100m", -100, -1},
        {".5", 500, 1},
        {"5.", 5000, 5},
        {"16Ei", INT64_MAX, INT64_MAX},
        {"1e99", INT64_MAX, INT64_MAX},
        {"99999999999999999999999999999999999999999999999999", INT64_MAX, INT64_MAX},
        {"0.00000000000000000000000000000000000000000000000001", 1, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t milli = -1;
        int64_t value = -1;
        assert_true(quantity_milli(cases[i].text, &milli));
        assert_true(quantity_value(cases[i].text, &value));
        assert_int_equal(milli, cases[i].milli);
        assert_int_equal(value, cases[i].value);
    }
}

static void test_quantity_canonical(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"0.5", "500m"},
        {"1024Mi", "1Gi"},
        {"307200Ki", "300Mi"},
        {"1025024Mi", "1001Gi"},
        {"5000m", "5"},
        {"1000M", "1G"},
        {"0.001T", "1G"},
        {"1000u", "1m"},
        {"1.08", "1080m"},
        {"1080000000n", "1080m"},
        {".001e12", "1e9"},
        {"0.001e0", "1e-3"},
        {"1000e-12", "1e-9"},
        {"00", "0"},
        {"0Gi", "0"},
        {"1025", "1025"},
        {"1234567M", "1234567M"},
        {".001Ki", "1024m"},
        {".000001Ki", "1024u"},
        {".000000000001Ki", "2n"},
        {"-.001Ki", "-1024m"},
        {"100.035Ki", "102435840m"},
        {"1.5Gi", "1536Mi"},
        {"0.5Ki", "512"},
        {"1.0009765625Ki", "1025"},
        {"20062.5Ki", "20544k"}, /* as "20544000" would be read back */
        {"9223372036854775807Ki", "9223372036854775807"},
        {"100m", "100m"},
        {"1.500", "1.500"},
        {"1e4", "10e3"},
        {"10e3", "10e3"},
        {"12345e-12", "13e-9"},
        {"0.1", "100m"},
        {"2000", "2k"},
        {"1000", "1k"},
        {"128974848", "128974848"},
        {"128974848000m", "128974848"},
        {"129e6", "129e6"},
        {"1Pi", "1Pi"},
        {"1024Ti", "1Pi"},
        {"1000Mi", "1000Mi"},
        {"1000E", "1000E"},
        {"1000e99000", "1e99000"},
        {"1009222392223929223922233800021922239292233802", "1009222392223929223922233800021922240G"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[64];
        assert_true(quantity_canonical(out, sizeof(out), cases[i][0]));
        assert_string_equal(out, cases[i][1]);
        char again[64];
        assert_true(quantity_canonical(again, sizeof(again), out));
        assert_string_equal(again, out);
    }
}

static void test_quantity_refuses_what_is_none(void **state)
{
    (void)state;
    static const char *const cases[] = {"",    "1.1.M", "1+1.0M", "0.1mi",   "0.1am", "aoeu",
                                        ".5i", "1i",    "-3.01i", "-3.01e-", " 1",    "1 ",
                                        "1e",  "1Kii",  "1e5e",   "1 Gi",    "--1",   "1mm"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t value;
        char out[32];
        assert_false(quantity_value(cases[i], &value));
        assert_false(quantity_canonical(out, sizeof(out), cases[i]));
    }
    int64_t value;
    assert_false(quantity_milli(NULL, &value));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_quantity_rounds_up_to_the_unit),
    cmocka_unit_test(test_quantity_canonical),
    cmocka_unit_test(test_quantity_refuses_what_is_none),
};

UNIT_MAIN(tests)
