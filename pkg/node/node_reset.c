/* See node_reset.h. */
#include "node/node_reset.h"

#include "base/mem.h"
#include "node/node_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the chain was left behind by the others, a start cannot replay anything. */
static int check_orphans(const struct node_record *record, const struct ledger_reset_report *chain,
                         struct err *err)
{
    if (!chain->orphans || record->outdated || record->removed)
        return 0;
    return err_set(err, ERR_CONFLICT,
                   "%llu changes of this node wait to be replayed, and would be lost: start it once without "
                   "--cluster-reset until `katena chain status` tells of no orphans any more, then try again",
                   (unsigned long long)chain->orphans);
}

/* What was true of the old cluster. Without a chain in the record, a node goes on with the one that is in its
 * directory, whichever that is. */
static void forget_cluster(struct node_record *record)
{
    node_record_free(record);
    record->has_chain = record->joined = record->removed = record->outdated = false;
    memset(record->servers, 0, sizeof(record->servers));
    explicit_bzero(&record->rotation, sizeof(record->rotation));
}

static int replace_chain(struct ledger_reset *reset, struct node_record *record,
                         const struct ledger_reset_report *chain, const char *data_dir, struct err *err)
{
    int rc = check_orphans(record, chain, err);
    if (rc)
        return rc;
    forget_cluster(record);
    rc = node_record_save(record, data_dir, err);
    if (!rc)
        rc = ledger_reset_finish(reset, err);
    if (rc)
        return rc;
    record->has_chain = true;
    memcpy(record->chain_id, chain->new_chain, sizeof(record->chain_id));
    return node_record_save(record, data_dir, err);
}

static int reset_in(const char *data_dir, struct node_reset_report *report, struct err *err)
{
    struct node_record record;
    struct ledger_reset *reset = NULL;
    int rc = node_record_load(&record, data_dir, err);
    if (rc)
        return rc;
    snprintf(report->name, sizeof(report->name), "%s", record.name);
    rc = ledger_reset_begin(&reset, &report->chain, data_dir, err);
    if (!rc) {
        rc = replace_chain(reset, &record, &report->chain, data_dir, err);
        ledger_reset_free(reset);
    }
    if (rc)
        node_reset_report_free(report);
    node_record_free(&record);
    return rc;
}

int node_reset(const char *data_dir, struct node_reset_report *report, struct err *err)
{
    *report = (struct node_reset_report){.name = ""};
    mem_auto char *path = realpath(data_dir, NULL);
    if (!path)
        return err_set(err, ERR_NOT_FOUND, "there is nothing to reset: there is no data directory %s",
                       data_dir);
    return reset_in(path, report, err);
}

void node_reset_report_free(struct node_reset_report *report)
{
    ledger_reset_report_free(&report->chain);
}
