/*
 * Asking a node over its API, as the user of a kubeconfig: what katena token, node, wait and chain share.
 */
#ifndef KATENA_CMD_REMOTE_H
#define KATENA_CMD_REMOTE_H

#include "base/buf.h"
#include "base/err.h"
#include "client/kubeconfig.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdbool.h>

#define REMOTE_DESCRIPTORS_MAX 3

/* A connection that is kept between questions. */
struct remote {
    struct kubeconfig config;
    CURL *curl;
    struct curl_slist *headers;
    int descriptors[REMOTE_DESCRIPTORS_MAX]; /* of what libcurl is to read: keys never touch the disk */
    size_t descriptor_count;
};

/* Who is asked, by the options of the command line; NULL: not given. */
struct remote_options {
    const char *data_dir;   /* the administrator's kubeconfig in it */
    const char *kubeconfig; /* else this one, $KUBECONFIG or ~/.kube/config */
};

/* The file (or several, with colons between) that --kubeconfig, KUBECONFIG or ~/.kube/config give, in this
 * order; NULL when there is none. The caller frees it. */
char *remote_kubeconfig(const char *named);

/* Reads the kubeconfig at paths (one: it is one file, which has to be there) and readies a connection. */
int remote_open(struct remote *out, const char *paths, bool one, struct err *err);
/* The same, by the options; without any, as for the default data directory. */
int remote_open_options(struct remote *out, const struct remote_options *options, struct err *err);
void remote_close(struct remote *remote);

/* One question. *out (may be NULL) is the answer, the caller's. A refusal is an error with the server's words
 * and the code of its status. timeout_s: how long the answer may take; 0: as long as it likes. */
int remote_ask(struct remote *remote, const char *method, const char *path, const json_t *body,
               long timeout_s, json_t **out, struct err *err);

/* Appends ?name=value or &name=value, escaped. */
void remote_add_parameter(CURL *curl, struct buf *url, const char *name, const char *value);

/* What libcurl says of a question that got no answer, for the user. */
int remote_transport_error(CURLcode code, const char *detail, const char *server, struct err *err);

#endif
