/* What of a query reaches the arguments of katena chain. */
#include "unit.h"

#include "api/chain_args.h"
#include "base/buf.h"

/* The arguments with blanks between, or the error's message. */
static char *make(int expected, const char *subcommand, const struct chain_query *query, size_t count)
{
    struct chain_args args;
    struct err err = {0};
    struct buf text = BUF_INIT;
    assert_int_equal(chain_args_make(&args, subcommand, "/data", query, count, &err), expected);
    for (size_t i = 0; !expected && i < args.count; i++)
        buf_printf(&text, "%s%s", i ? " " : "", args.items[i]);
    if (!expected)
        assert_null(args.items[args.count]);
    else
        buf_puts(&text, err.message);
    chain_args_free(&args);
    return buf_steal(&text);
}

static void check(int expected, const char *text, const char *subcommand, const struct chain_query *query,
                  size_t count)
{
    char *got = make(expected, subcommand, query, count);
    assert_string_equal(got, text);
    free(got);
}

#define QUERY(...)                             \
    (const struct chain_query[]){__VA_ARGS__}, \
        sizeof((const struct chain_query[]){__VA_ARGS__}) / sizeof(struct chain_query)
#define START "katena chain --served --data-dir=/data "

static void test_options_and_words(void **state)
{
    (void)state;
    check(0, START "-- status", "status", NULL, 0);
    check(0, START "--namespace=a --limit=5 --oneline --user=b -- log pods x", "log",
          QUERY({"arg", "pods"}, {"namespace", "a"}, {"limit", "5"}, {"oneline", "true"}, {"arg", "x"},
                {"user", "b"}));
    check(0, START "-- log", "log", QUERY({"oneline", "false"}));
    check(0, START "--namespace=a --json -- conflicts", "conflicts",
          QUERY({"namespace", "a"}, {"json", "true"}));
    check(0, START "--to-head --without-content -- prove abcd", "prove",
          QUERY({"to-head", "true"}, {"without-content", "true"}, {"arg", "abcd"}));
}

/* Whatever a value looks like, it stays a value. */
static void test_values_are_no_options(void **state)
{
    (void)state;
    check(0, START "--user=--data-dir=/etc -- log --output=/etc/x -h", "log",
          QUERY({"user", "--data-dir=/etc"}, {"arg", "--output=/etc/x"}, {"arg", "-h"}));
    check(0, START "--user=$(id); `id` -- log", "log", QUERY({"user", "$(id); `id`"}));
}

static void test_all_else_is_refused(void **state)
{
    (void)state;
    static const char *const closed[] = {"output",   "o",    "data-dir", "served",     "proof",
                                         "producer", "head", "help",     "kubeconfig", ""};
    for (const char *const *s = chain_args_subcommands; *s; s++)
        for (size_t i = 0; i < sizeof(closed) / sizeof(*closed); i++)
            free(make(ERR_BAD_REQUEST, *s, QUERY({closed[i], "/tmp/x"})));
    check(ERR_BAD_REQUEST, "unknown command \"chain rm\"", "rm", NULL, 0);
    check(ERR_BAD_REQUEST, "unknown command \"chain \"", "", NULL, 0);
    check(ERR_BAD_REQUEST, "unknown option \"limit\" of \"chain show\"", "show", QUERY({"limit", "1"}));
    check(ERR_BAD_REQUEST, "user is given twice", "log", QUERY({"user", "a"}, {"user", "b"}));
    check(ERR_BAD_REQUEST, "\"chain log\" takes at most 2 arguments", "log",
          QUERY({"arg", "a"}, {"arg", "b"}, {"arg", "c"}));
}

static void test_malformed_values(void **state)
{
    (void)state;
    static const char *const numbers[] = {"", "-1", "1x", " 1", "0x1", "1234567890", NULL};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        free(make(ERR_BAD_REQUEST, "log", QUERY({"limit", numbers[i]})));
    char longest[CHAIN_ARGS_VALUE_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[CHAIN_ARGS_VALUE_MAX + 1] = '\0';
    const char *const texts[] = {"", NULL, "a\nb", "\x7f", longest};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        free(make(ERR_BAD_REQUEST, "log", QUERY({"user", texts[i]})));
        free(make(ERR_BAD_REQUEST, "show", QUERY({"arg", texts[i]})));
    }
    longest[CHAIN_ARGS_VALUE_MAX] = '\0';
    free(make(0, "show", QUERY({"arg", longest})));
    free(make(ERR_BAD_REQUEST, "log", QUERY({"oneline", "yes"})));
    free(make(ERR_BAD_REQUEST, "log", QUERY({"oneline", NULL})));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_options_and_words),
    cmocka_unit_test(test_values_are_no_options),
    cmocka_unit_test(test_all_else_is_refused),
    cmocka_unit_test(test_malformed_values),
};

UNIT_MAIN(tests)
