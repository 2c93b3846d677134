/*
 * Where a kubeconfig's current context points and who it is there, by kubectl's rules: of several files the
 * first one that has an entry counts, and paths are relative to the file that names them. Pure: the caller
 * reads the files.
 *
 * What is not known: exec plugins, auth providers, user names with passwords, proxies.
 */
#ifndef KATENA_CLIENT_KUBECONFIG_H
#define KATENA_CLIENT_KUBECONFIG_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct kubeconfig_source {
    const char *path; /* for messages and relative paths */
    const void *text;
    size_t len;
};

/* Strings are owned, and NULL when absent. Of each pair at most one is set: data (PEM) goes before a file. */
struct kubeconfig {
    char *server; /* an https URL without a slash at its end */
    char *ca_data, *ca_file;
    char *cert_data, *cert_file;
    char *key_data, *key_file;
    char *token, *token_file;
    char *as;      /* whom to impersonate */
    bool insecure; /* the server's certificate is not checked */
};

/* ERR_BAD_REQUEST or ERR_NOT_FOUND with a message for the user. Release *out with kubeconfig_free in any
 * case. */
int kubeconfig_read(struct kubeconfig *out, const struct kubeconfig_source *sources, size_t count,
                    struct err *err);
void kubeconfig_free(struct kubeconfig *config);

#endif
