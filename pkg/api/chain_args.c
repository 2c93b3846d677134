/* See chain_args.h. */
#include "api/chain_args.h"

#include "base/mem.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define WORDS_MAX 2
#define DIGITS_MAX 9

const char *const chain_args_subcommands[] = {"status", "log",   "show",      "blame",
                                              "verify", "prove", "conflicts", NULL};

enum value_kind { VALUE_TEXT, VALUE_NUMBER, VALUE_FLAG };

/* What each subcommand takes: whatever is not here is refused. */
static const struct {
    const char *name;
    enum value_kind kind;
    const char *subcommands[3];
} options[] = {
    {"namespace", VALUE_TEXT, {"log", "blame", "conflicts"}},
    {"limit", VALUE_NUMBER, {"log"}},
    {"oneline", VALUE_FLAG, {"log"}},
    {"json", VALUE_FLAG, {"conflicts"}},
    {"user", VALUE_TEXT, {"log"}},
    {"without-content", VALUE_FLAG, {"prove"}},
    {"to-head", VALUE_FLAG, {"prove"}},
};
#define OPTIONS (sizeof(options) / sizeof(*options))

static void add(struct chain_args *args, char *item)
{
    assert(args->count < CHAIN_ARGS_MAX);
    args->items[args->count++] = item;
    args->items[args->count] = NULL;
}

static bool is_subcommand(const char *word)
{
    for (const char *const *s = chain_args_subcommands; *s; s++)
        if (strcmp(*s, word) == 0)
            return true;
    return false;
}

static bool takes(size_t option, const char *subcommand)
{
    for (size_t i = 0; i < 3 && options[option].subcommands[i]; i++)
        if (strcmp(options[option].subcommands[i], subcommand) == 0)
            return true;
    return false;
}

static bool is_plain_text(const char *value)
{
    size_t len = strlen(value);
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return false;
    return len > 0 && len <= CHAIN_ARGS_VALUE_MAX;
}

static int add_option(struct chain_args *args, size_t option, const char *value, struct err *err)
{
    const char *name = options[option].name;
    size_t len = strlen(value);
    switch (options[option].kind) {
    case VALUE_FLAG:
        if (strcmp(value, "true") == 0)
            add(args, mem_printf("--%s", name));
        else if (strcmp(value, "false") != 0)
            return err_set(err, ERR_BAD_REQUEST, "%s takes true or false", name);
        return 0;
    case VALUE_NUMBER:
        if (!len || len > DIGITS_MAX || value[strspn(value, "0123456789")])
            return err_set(err, ERR_BAD_REQUEST, "%s takes a number of at most %d digits", name, DIGITS_MAX);
        break;
    default:
        if (!is_plain_text(value))
            return err_set(err, ERR_BAD_REQUEST, "%s takes a text of 1 to %d characters", name,
                           CHAIN_ARGS_VALUE_MAX);
    }
    add(args, mem_printf("--%s=%s", name, value));
    return 0;
}

static int take_option(struct chain_args *args, bool seen[OPTIONS], const char *subcommand,
                       const struct chain_query *item, struct err *err)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        if (strcmp(options[i].name, item->name) != 0 || !takes(i, subcommand))
            continue;
        if (seen[i])
            return err_set(err, ERR_BAD_REQUEST, "%s is given twice", item->name);
        seen[i] = true;
        return add_option(args, i, item->value ? item->value : "", err);
    }
    return err_set(err, ERR_BAD_REQUEST, "unknown option \"%.100s\" of \"chain %s\"", item->name, subcommand);
}

int chain_args_make(struct chain_args *out, const char *subcommand, const char *data_dir,
                    const struct chain_query *query, size_t count, struct err *err)
{
    const char *words[WORDS_MAX];
    size_t word_count = 0;
    bool seen[OPTIONS] = {false};
    *out = (struct chain_args){.count = 0};
    if (!is_subcommand(subcommand))
        return err_set(err, ERR_BAD_REQUEST, "unknown command \"chain %.100s\"", subcommand);
    add(out, mem_strdup("katena"));
    add(out, mem_strdup("chain"));
    add(out, mem_strdup("--served"));
    add(out, mem_printf("--data-dir=%s", data_dir));
    for (size_t i = 0; i < count; i++) {
        if (strcmp(query[i].name, "arg") != 0) {
            int code = take_option(out, seen, subcommand, &query[i], err);
            if (code)
                return code;
            continue;
        }
        if (word_count == WORDS_MAX)
            return err_set(err, ERR_BAD_REQUEST, "\"chain %s\" takes at most %d arguments", subcommand,
                           WORDS_MAX);
        if (!query[i].value || !is_plain_text(query[i].value))
            return err_set(err, ERR_BAD_REQUEST, "arg takes a text of 1 to %d characters",
                           CHAIN_ARGS_VALUE_MAX);
        words[word_count++] = query[i].value;
    }
    add(out, mem_strdup("--"));
    add(out, mem_strdup(subcommand));
    for (size_t i = 0; i < word_count; i++)
        add(out, mem_strdup(words[i]));
    return 0;
}

void chain_args_free(struct chain_args *args)
{
    for (size_t i = 0; i < args->count; i++)
        free(args->items[i]);
    *args = (struct chain_args){.count = 0};
}
