/* The Secret behind a join token (join_token.h): what the cluster keeps of it. Pure. */
#ifndef KATENA_PKI_JOIN_SECRET_H
#define KATENA_PKI_JOIN_SECRET_H

#include "pki/join_token.h"

#include <jansson.h>

/* A new Secret for a token. expires_s is a time since 1970, 0 for never; description may be NULL. */
json_t *join_secret_make(const struct join_token *token, int64_t expires_s, bool single_use,
                         const char *description);

/* A field of a Secret's data as text, "" when there is none; the caller frees it. */
char *join_secret_field(const json_t *secret, const char *name);
void join_secret_set_field(json_t *secret, const char *name, const char *text);

/* Whether the token's time is over; *until (the caller's, "" for never) is the text that says when. */
bool join_secret_expired(const json_t *secret, int64_t now_us, char **until);

#endif
