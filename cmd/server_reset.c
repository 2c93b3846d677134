/* katena server --cluster-reset: makes a stopped node the only member of its cluster, and says what follows.
 */
#include "server.h"

#include "base/hex.h"
#include "base/timefmt.h"
#include "node/node_reset.h"

#include <stdio.h>

static void print_chain(const char *what, const uint8_t id[HASH_SIZE], const char *rest)
{
    char digits[2 * HASH_SIZE + 1];
    hex_encode(digits, id, HASH_SIZE);
    printf("%s %s%s\n", what, digits, rest);
}

static void print_dropped(const struct ledger_reset_report *chain)
{
    puts("Dropped members:");
    for (size_t i = 0; i < chain->dropped_count; i++) {
        const struct registry_validator *v = &chain->dropped[i];
        printf("  %s", v->name);
        for (size_t k = 0; k < v->address_count; k++)
            printf("%s%s", k ? ", " : " (", v->addresses[k]);
        puts(v->address_count ? ")" : "");
    }
}

static void print_next(const struct ledger_reset_report *chain)
{
    puts("\nWhat to do now:\n"
         "  1. Start the server without --cluster-reset.\n"
         "  2. On each dropped node that still exists: stop katena, remove its data directory, and let it "
         "join\n"
         "     anew with a token (katena token create). With its old data it is refused.\n"
         "  3. Of those that do not come back: kubectl delete node NAME.");
    printf("  4. Remove the old chain once nothing in it is needed: %s\n", chain->aside);
}

int server_cluster_reset(const char *data_dir)
{
    struct node_reset_report report;
    struct err err;
    char made[TIMEFMT_MAX];
    if (node_reset(data_dir, &report, &err)) {
        fprintf(stderr, "katena: %s\n", err.message);
        return 1;
    }
    const struct ledger_reset_report *chain = &report.chain;
    timefmt_micro(made, chain->head.time_us);
    printf("The cluster was reset: %s is its only member, with all %llu objects as they were at block %llu\n"
           "(%s).\n\n",
           *report.name ? report.name : "this node", (unsigned long long)chain->objects,
           (unsigned long long)chain->head.height, made);
    print_dropped(chain);
    if (chain->orphans)
        printf("%llu changes that waited to be replayed are in the old chain only.\n",
               (unsigned long long)chain->orphans);
    print_chain("New chain:", chain->new_chain, "");
    print_chain("Old chain:", chain->old_chain, ", kept in");
    printf("           %s\n", chain->aside);
    print_next(chain);
    node_reset_report_free(&report);
    return 0;
}
