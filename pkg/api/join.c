/* See join.h. */
#include "api/join.h"

#include "base/hex.h"
#include "base/mem.h"
#include "codec/json.h"
#include "object/names.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define CHALLENGE_LIFE_S 120
#define CHALLENGE_SKEW_S 60 /* of the clocks of two nodes, one of which made what the other checks */
#define CIDR_CHARS "0123456789abcdefABCDEF.:/"

/* ---- challenges ---- */

static void challenge_hash(uint8_t out[JOIN_CHALLENGE_SIZE - 8], const uint8_t *seal_key,
                           const uint8_t time[8])
{
    static const char domain[] = "katena join challenge";
    crypto_generichash_state state;
    crypto_generichash_init(&state, seal_key, PKI_SEAL_KEY_SIZE, JOIN_CHALLENGE_SIZE - 8);
    crypto_generichash_update(&state, (const uint8_t *)domain, sizeof(domain));
    crypto_generichash_update(&state, time, 8);
    crypto_generichash_final(&state, out, JOIN_CHALLENGE_SIZE - 8);
}

void join_challenge_make(uint8_t out[JOIN_CHALLENGE_SIZE], const uint8_t seal_key[PKI_SEAL_KEY_SIZE],
                         int64_t now_s)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)((uint64_t)now_s >> (8 * i));
    challenge_hash(out + 8, seal_key, out);
}

bool join_challenge_holds(const uint8_t challenge[JOIN_CHALLENGE_SIZE],
                          const uint8_t seal_key[PKI_SEAL_KEY_SIZE], int64_t now_s)
{
    uint8_t hash[JOIN_CHALLENGE_SIZE - 8];
    uint64_t time = 0;
    for (int i = 0; i < 8; i++)
        time |= (uint64_t)challenge[i] << (8 * i);
    challenge_hash(hash, seal_key, challenge);
    return sodium_memcmp(hash, challenge + 8, sizeof(hash)) == 0 &&
           (int64_t)time >= now_s - CHALLENGE_LIFE_S && (int64_t)time <= now_s + CHALLENGE_SKEW_S;
}

void join_challenge_encode(struct buf *out, const uint8_t challenge[JOIN_CHALLENGE_SIZE])
{
    char digits[2 * JOIN_CHALLENGE_SIZE + 1];
    hex_encode(digits, challenge, JOIN_CHALLENGE_SIZE);
    buf_printf(out, "{\"version\":%d,\"challenge\":\"%s\"}", JOIN_VERSION, digits);
}

int join_challenge_decode(uint8_t challenge[JOIN_CHALLENGE_SIZE], const void *text, size_t len,
                          struct err *err)
{
    json_auto_t *value = json_parse(text, len, err);
    if (!value)
        return err_set(err, ERR_BAD_REQUEST, "the answer is no JSON");
    if (json_int_or(0, value, "version") != JOIN_VERSION)
        return err_set(err, ERR_CONFLICT, "it speaks version %d of joining, this program version %d",
                       (int)json_int_or(0, value, "version"), JOIN_VERSION);
    if (!hex_decode(challenge, JOIN_CHALLENGE_SIZE, json_str_or_empty(value, "challenge")))
        return err_set(err, ERR_BAD_REQUEST, "the answer has no challenge");
    return 0;
}

/* ---- the signature ---- */

static void signed_text(struct buf *out, const struct join_request *request)
{
    static const char domain[] = "katena join request";
    buf_append(out, domain, sizeof(domain));
    buf_append(out, request->challenge, sizeof(request->challenge));
    buf_append(out, request->token.id, sizeof(request->token.id));
    buf_append(out, request->key, sizeof(request->key));
    buf_append(out, request->name, strlen(request->name) + 1);
    for (size_t i = 0; i < request->address_count; i++)
        buf_append(out, request->addresses[i], strlen(request->addresses[i]) + 1);
}

void join_request_sign(struct join_request *request, const uint8_t secret_key[64])
{
    buf_auto struct buf text = BUF_INIT;
    signed_text(&text, request);
    crypto_sign_detached(request->signature, NULL, (const uint8_t *)text.data, text.len, secret_key);
}

bool join_request_verify(const struct join_request *request)
{
    buf_auto struct buf text = BUF_INIT;
    signed_text(&text, request);
    return crypto_sign_verify_detached(request->signature, (const uint8_t *)text.data, text.len,
                                       request->key) == 0;
}

/* ---- JSON, both ways ---- */

/* Text that goes into messages and logs: only what is plain there, and what fits. */
static void copy_shown(char *out, size_t size, const char *text)
{
    size_t n = 0;
    for (; *text && n < size - 1; text++)
        out[n++] = isgraph((unsigned char)*text) && (unsigned char)*text < 0x7f ? *text : '?';
    out[n] = '\0';
}

bool join_address_valid(const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t host = colon ? (size_t)(colon - text) : 0;
    if (!host || strlen(text) >= REGISTRY_ADDRESS_MAX)
        return false;
    bool bracketed = text[0] == '[' && text[host - 1] == ']' && host > 2;
    const char *name = bracketed ? text + 1 : text;
    size_t len = bracketed ? host - 2 : host;
    for (size_t i = 0; i < len; i++) {
        bool good =
            isalnum((unsigned char)name[i]) || strchr("-._", name[i]) || (bracketed && strchr(":%", name[i]));
        if (!good || !name[i])
            return false;
    }
    size_t digits = strspn(colon + 1, "0123456789");
    long port = digits && digits <= 5 && !colon[1 + digits] ? atol(colon + 1) : 0;
    return port >= 1 && port <= 65535;
}

static void set_hex(json_t *object, const char *name, const uint8_t *bytes, size_t len)
{
    mem_auto char *digits = mem_alloc(2 * len + 1);
    hex_encode(digits, bytes, len);
    json_set_str(object, name, digits);
}

static void set_addresses(json_t *object, const char (*addresses)[REGISTRY_ADDRESS_MAX], size_t count)
{
    json_t *list = json_array_ensure(object, "addresses");
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(addresses[i]));
}

static bool copy_text(char *out, size_t size, const char *text)
{
    if (strlen(text) >= size)
        return false;
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static bool read_addresses(char (*out)[REGISTRY_ADDRESS_MAX], size_t *count, const json_t *list)
{
    size_t i;
    const json_t *value;
    *count = 0;
    if (json_array_size(list) > REGISTRY_ADDRESSES_MAX)
        return false;
    json_array_foreach(list, i, value)
    {
        const char *text = json_or_empty_(value);
        if (!join_address_valid(text) || !copy_text(out[i], REGISTRY_ADDRESS_MAX, text))
            return false;
        *count = i + 1;
    }
    return true;
}

/* ---- the request ---- */

void join_request_encode(struct buf *out, const struct join_request *request)
{
    char token[JOIN_TOKEN_MAX];
    json_auto_t *value = json_object();
    join_token_format(token, &request->token);
    json_set_int(value, "version", request->version);
    json_set_str(value, "program", request->program);
    json_set_str(value, "token", token);
    json_set_str(value, "name", request->name);
    set_hex(value, "key", request->key, sizeof(request->key));
    set_addresses(value, request->addresses, request->address_count);
    set_hex(value, "challenge", request->challenge, sizeof(request->challenge));
    set_hex(value, "signature", request->signature, sizeof(request->signature));
    json_dump_buf(out, value);
    explicit_bzero(token, sizeof(token));
}

static int read_request(struct join_request *out, const json_t *value, struct err *err)
{
    const char *name = json_str_or_empty(value, "name");
    struct name_faults faults = {.count = 0};
    int code = join_token_parse(&out->token, json_str_or_empty(value, "token"), err);
    if (code)
        return code;
    if (!copy_text(out->name, sizeof(out->name), name) || !name_check_dns_subdomain(&faults, name))
        return err_set(err, ERR_INVALID,
                       "\"%.64s\" is no name for a node: it has to be of lower case letters, digits, '-' and "
                       "'.', and begin and end with a letter or digit; see --node-name",
                       name);
    if (!hex_decode(out->key, sizeof(out->key), json_str_or_empty(value, "key")) ||
        !hex_decode(out->challenge, sizeof(out->challenge), json_str_or_empty(value, "challenge")) ||
        !hex_decode(out->signature, sizeof(out->signature), json_str_or_empty(value, "signature")))
        return err_set(err, ERR_INVALID, "key, challenge or signature is missing or damaged");
    if (!read_addresses(out->addresses, &out->address_count, json_at(value, "addresses")))
        return err_set(err, ERR_INVALID, "addresses: up to %d of the form HOST:PORT", REGISTRY_ADDRESSES_MAX);
    return 0;
}

int join_request_decode(struct join_request *out, const void *text, size_t len, struct err *err)
{
    *out = (struct join_request){.version = 0};
    json_auto_t *value = json_parse(text, len, err);
    if (!json_is_object(value))
        return err_set(err, ERR_BAD_REQUEST, "the body is no request to join");
    out->version = (int)json_int_or(0, value, "version");
    copy_shown(out->program, sizeof(out->program), json_str_or_empty(value, "program"));
    /* Another version's fields may mean something else: the caller tells it so. */
    return out->version == JOIN_VERSION ? read_request(out, value, err) : 0;
}

/* ---- the answer ---- */

void join_answer_encode(struct buf *out, const struct join_answer *answer)
{
    json_auto_t *value = json_object();
    json_set_int(value, "version", answer->version);
    set_hex(value, "chainID", answer->chain_id, sizeof(answer->chain_id));
    json_set_str(value, "caCert", answer->shared.ca_cert);
    json_set_str(value, "caKey", answer->shared.ca_key);
    json_set_str(value, "serviceAccountKey", answer->shared.service_account_key);
    set_hex(value, "sealKey", answer->shared.seal_key, sizeof(answer->shared.seal_key));
    json_set_str(value, "clusterCIDR", answer->cluster_cidr);
    json_set_str(value, "serviceCIDR", answer->service_cidr);
    json_t *peers = json_array_ensure(value, "peers");
    for (size_t i = 0; i < answer->peer_count; i++) {
        json_t *peer = json_object();
        json_set_str(peer, "name", answer->peers[i].name);
        set_hex(peer, "key", answer->peers[i].key, TX_KEY_SIZE);
        set_addresses(peer, answer->peers[i].addresses, answer->peers[i].address_count);
        json_array_append_new(peers, peer);
    }
    json_dump_buf(out, value);
}

void join_answer_free(struct join_answer *answer)
{
    pki_shared_free(&answer->shared);
    free(answer->peers);
    answer->peers = NULL;
}

static bool read_peer(struct registry_validator *out, const json_t *value)
{
    return copy_text(out->name, sizeof(out->name), json_str_or_empty(value, "name")) &&
           hex_decode(out->key, sizeof(out->key), json_str_or_empty(value, "key")) &&
           read_addresses(out->addresses, &out->address_count, json_at(value, "addresses"));
}

static bool read_peers(struct join_answer *out, const json_t *list)
{
    size_t i;
    const json_t *value;
    if (json_array_size(list) > REGISTRY_MAX)
        return false;
    out->peers = mem_calloc(json_array_size(list) + 1, sizeof(*out->peers));
    json_array_foreach(list, i, value)
    {
        if (!read_peer(&out->peers[i], value))
            return false;
        out->peer_count = i + 1;
    }
    return true;
}

static bool read_cidr(char out[JOIN_CIDR_MAX], const char *text)
{
    return *text && text[strspn(text, CIDR_CHARS)] == '\0' && copy_text(out, JOIN_CIDR_MAX, text);
}

static bool read_answer(struct join_answer *out, const json_t *value)
{
    struct pki_shared *shared = &out->shared;
    shared->ca_cert = mem_strdup(json_str_or_empty(value, "caCert"));
    shared->ca_key = mem_strdup(json_str_or_empty(value, "caKey"));
    shared->service_account_key = mem_strdup(json_str_or_empty(value, "serviceAccountKey"));
    return *shared->ca_cert && *shared->ca_key && *shared->service_account_key &&
           hex_decode(shared->seal_key, sizeof(shared->seal_key), json_str_or_empty(value, "sealKey")) &&
           hex_decode(out->chain_id, sizeof(out->chain_id), json_str_or_empty(value, "chainID")) &&
           read_cidr(out->cluster_cidr, json_str_or_empty(value, "clusterCIDR")) &&
           read_cidr(out->service_cidr, json_str_or_empty(value, "serviceCIDR")) &&
           read_peers(out, json_at(value, "peers"));
}

int join_answer_decode(struct join_answer *out, const void *text, size_t len, struct err *err)
{
    *out = (struct join_answer){.version = 0};
    json_auto_t *value = json_parse(text, len, err);
    if (!value)
        return err_set(err, ERR_BAD_REQUEST, "the answer is no JSON");
    out->version = (int)json_int_or(0, value, "version");
    if (out->version != JOIN_VERSION)
        return err_set(err, ERR_CONFLICT, "it speaks version %d of joining, this program version %d",
                       out->version, JOIN_VERSION);
    if (read_answer(out, value))
        return 0;
    join_answer_free(out);
    return err_set(err, ERR_BAD_REQUEST, "the answer lacks what a node needs");
}
