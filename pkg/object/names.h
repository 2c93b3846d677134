/*
 * The syntax of names, labels and keys. A check lists every rule that a value breaks, in the words of
 * Kubernetes, so that callers can join them as each place of the API does. Pure.
 */
#ifndef KATENA_OBJECT_NAMES_H
#define KATENA_OBJECT_NAMES_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct name_faults {
    const char *texts[6]; /* static */
    size_t count;
};

/* Each appends to faults and returns whether the value is fine. */
typedef bool name_check(struct name_faults *faults, const char *value);

name_check name_check_dns_label;     /* RFC 1123 label */
name_check name_check_dns_subdomain; /* RFC 1123 subdomain */
name_check name_check_dns1035_label; /* what Services are called */
name_check name_check_wildcard_subdomain;
name_check name_check_path_segment; /* RBAC names: anything that fits a path */
name_check name_check_label_key;    /* "example.com/name" */
name_check name_check_label_value;
name_check name_check_config_key; /* keys of ConfigMaps and Secrets */
name_check name_check_env_name;
name_check name_check_port_name;
name_check name_check_http_header;
name_check name_check_c_identifier;

/* The faults, with separator between them. */
void name_faults_join(struct buf *out, const struct name_faults *faults, const char *separator);

#endif
