/*
 * Schemas: what a Kubernetes type is, as data. Built-in schemas are compiled from api/ into constant tables;
 * custom resources will make the same structs at run time. Decoding (JSON, YAML, protobuf), defaulting,
 * validation, patches, server-side apply, OpenAPI, discovery, table columns and explain all read these.
 */
#ifndef KATENA_OBJECT_SCHEMA_H
#define KATENA_OBJECT_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum schema_type {
    SCHEMA_MESSAGE, /* an object with the fields of `message` */
    SCHEMA_STRING,
    SCHEMA_INT32,
    SCHEMA_INT64,
    SCHEMA_BOOL,
    SCHEMA_DOUBLE,
    SCHEMA_BYTES,         /* base64 in JSON */
    SCHEMA_QUANTITY,      /* resource.Quantity: string or number in JSON */
    SCHEMA_INT_OR_STRING, /* intstr.IntOrString */
    SCHEMA_TIME,          /* metav1.Time */
    SCHEMA_MICRO_TIME,
    SCHEMA_DURATION,
    SCHEMA_RAW,       /* any JSON object: runtime.RawExtension */
    SCHEMA_FIELDS_V1, /* metav1.FieldsV1 */
    SCHEMA_ANY,       /* any JSON value */
    SCHEMA_STRINGS,   /* a list of strings in JSON, a message of items in protobuf (ExtraValue, Verbs) */
};

enum schema_shape { SCHEMA_SINGLE, SCHEMA_LIST, SCHEMA_MAP /* string to type */ };

enum schema_list_type { SCHEMA_LIST_ATOMIC, SCHEMA_LIST_SET, SCHEMA_LIST_MAP };

enum schema_patch {
    SCHEMA_PATCH_REPLACE,
    SCHEMA_PATCH_MERGE,
    SCHEMA_PATCH_RETAIN_KEYS,
    SCHEMA_PATCH_MERGE_RETAIN_KEYS
};

struct schema_message;

struct schema_field {
    const char *name;  /* in JSON; "" for an inlined message (its fields are the parent's in JSON, one
                          embedded message in protobuf) */
    uint16_t number;   /* protobuf field number; 0: not in protobuf */
    uint8_t type;      /* enum schema_type */
    uint8_t shape;     /* enum schema_shape */
    uint8_t list_type; /* enum schema_list_type, for server-side apply */
    uint8_t patch;     /* enum schema_patch, for strategic merge */
    bool required;     /* OpenAPI: not optional */
    bool omit_empty;   /* a zero value is left out of JSON */
    bool pointer;      /* optional scalar with presence: absent differs from zero */
    bool atomic;       /* a struct or map that server-side apply owns as one */
    const struct schema_message *message; /* for SCHEMA_MESSAGE, of the value, list item or map value */
    const char *merge_key;                /* strategic merge; NULL: none */
    const char *const *map_keys;          /* NULL-terminated x-kubernetes-list-map-keys; NULL: none */
    const char *default_json;             /* NULL: none */
    const char *const *enum_values;       /* NULL-terminated; NULL: any */
    const char *description;
};

/* One member of the JSON object that a message is: its own fields and those of inlined messages. */
struct schema_member {
    const char *name;
    size_t name_len;
    const struct schema_field *field;
};

struct schema_message {
    const char *name; /* "io.k8s.api.core.v1.PodSpec", as OpenAPI v2 names it */
    const char *description;
    const struct schema_field *fields; /* sorted as declared */
    size_t field_count;
    const uint8_t *numbers;              /* fields in the order of their protobuf numbers */
    const struct schema_member *members; /* in the order in which JSON shows them */
    size_t member_count;
    const uint8_t *index; /* members sorted by length and bytes of their names */
    bool atomic;          /* server-side apply owns it as one wherever it stands */
    const char *group;    /* of a message that carries kind and apiVersion; NULL otherwise */
    const char *version;
    const char *kind;
};

/* A column of `kubectl get`, as data: path is an expression that table.c evaluates (docs/adding-a-kind.md).
 */
struct schema_column {
    const char *name;
    const char *type;   /* string, integer, date, … */
    const char *format; /* "name" for the first */
    const char *description;
    int priority; /* 0: always; 1: -o wide */
    const char *expression;
};

struct schema_subresource {
    const char *name; /* "status", "scale", "log", … */
    const char *kind;
    const char *group; /* of kind; NULL: the resource's own */
    const char *version;
    const char *const *verbs;
};

/* A kind that the API serves. */
struct schema_kind {
    const char *group;
    const char *version;
    const char *kind;
    const char *list_kind;
    const char *plural;
    const char *singular;
    const char *const *short_names; /* NULL-terminated; may be NULL */
    const char *const *categories;
    bool namespaced;
    bool virtual_;       /* answered, never stored: the reviews */
    bool has_generation; /* metadata.generation counts changes of spec */
    const char *const *verbs;
    const struct schema_subresource *subresources;
    size_t subresource_count;
    const struct schema_column *columns;
    size_t column_count;
    const char *const *field_selectors; /* beside metadata.name and metadata.namespace */
    const char *const *immutable;       /* field paths that no update may change */
    const struct schema_message *message;
    const struct schema_message
        *list_message; /* {ListMeta metadata, items}; NULL for what cannot be listed */
};

#define SCHEMA_MEMBER_MAX 255 /* members of one message */

/* The member with this JSON name, found by binary search; its place is member - message->members. */
const struct schema_member *schema_member_find(const struct schema_message *message, const char *name,
                                               size_t len);

/* The field with this JSON name, also through inlined messages; NULL when there is none. */
const struct schema_field *schema_field_by_name(const struct schema_message *message, const char *name);
const struct schema_field *schema_field_by_number(const struct schema_message *message, unsigned number);

#endif
