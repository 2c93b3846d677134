/*
 * Columns of tables: an expression is a path (".status.phase") or a named function with paths or words as
 * arguments ("ratio(.status.readyReplicas, .spec.replicas)"). table.c reads expressions; the functions stand
 * in table_common.c and in one file per family of kinds.
 */
#ifndef KATENA_OBJECT_TABLE_INTERNAL_H
#define KATENA_OBJECT_TABLE_INTERNAL_H

#include "base/buf.h"
#include "object/table.h"

#define TABLE__ARG_MAX 2
#define TABLE__WORD_MAX 64

struct table__call {
    const json_t *object;
    int64_t now_us;
    const json_t *values[TABLE__ARG_MAX];        /* of arguments that are paths; NULL: nothing there */
    char words[TABLE__ARG_MAX][TABLE__WORD_MAX]; /* of arguments that are words */
};

struct table__function {
    const char *name;
    json_t *(*cell)(const struct table__call *call);
};

/* Each ends with a NULL name. */
extern const struct table__function table__common_functions[];
extern const struct table__function table__pod_functions[];
extern const struct table__function table__service_functions[];
extern const struct table__function table__node_functions[];

/* "5m" since an RFC 3339 time; "<unknown>" when there is none. Appends. */
void table__put_age(struct buf *out, const json_t *time, int64_t now_us);

/* A cell from what is in text. */
json_t *table__text(const struct buf *text);

/* Puts a comma in front of all but the first item of a list. */
void table__put_separator(struct buf *out, const char *separator);

/* The condition of this type in status.conditions; NULL when there is none. */
const json_t *table__condition(const json_t *object, const char *type);

#endif
