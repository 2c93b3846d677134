/* See negotiate.h. */
#include "api/negotiate.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define CLAUSE_MAX 512

static const struct {
    const char *type;
    enum negotiate_media media;
} media_types[] = {
    {"application/json", NEGOTIATE_JSON},
    {"application/yaml", NEGOTIATE_YAML},
    {"application/vnd.kubernetes.protobuf", NEGOTIATE_PROTOBUF},
    {"application/com.github.proto-openapi.spec.v2@v1.0+protobuf", NEGOTIATE_OPENAPI_PROTOBUF},
    {"application/com.github.proto-openapi.spec.v2.v1.0+protobuf", NEGOTIATE_OPENAPI_PROTOBUF},
};
#define MEDIA_TYPES (sizeof(media_types) / sizeof(*media_types))

/* One clause of the header: a media range and its parameters, pointing into a copy. */
struct clause {
    const char *type;
    const char *as;
    const char *group;
    const char *version;
    int quality; /* thousandths */
};

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t n = strlen(text);
    while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t'))
        text[--n] = '\0';
    if (n >= 2 && text[0] == '"' && text[n - 1] == '"') {
        text[n - 1] = '\0';
        text++;
    }
    return text;
}

/* "0.8" as 800, without floats and locale; what is no number counts as 1. */
static int quality_parse(const char *text)
{
    if (*text != '0' && *text != '1')
        return 1000;
    int value = (*text - '0') * 1000;
    if (text[1] != '.')
        return value;
    int unit = 100;
    for (const char *p = text + 2; *p >= '0' && *p <= '9' && unit > 0; p++, unit /= 10)
        value += (*p - '0') * unit;
    return value > 1000 ? 1000 : value;
}

static void clause_parse(struct clause *out, char *text)
{
    char *save = NULL;
    *out = (struct clause){.type = "", .as = "", .group = "", .version = "", .quality = 1000};
    char *part = strtok_r(text, ";", &save);
    if (part)
        out->type = trim(part);
    while ((part = strtok_r(NULL, ";", &save))) {
        char *value = strchr(part, '=');
        if (!value)
            continue;
        *value++ = '\0';
        const char *name = trim(part);
        value = trim(value);
        if (strcasecmp(name, "q") == 0)
            out->quality = quality_parse(value);
        else if (strcmp(name, "as") == 0)
            out->as = value;
        else if (strcmp(name, "g") == 0)
            out->group = value;
        else if (strcmp(name, "v") == 0)
            out->version = value;
        /* stream, charset, profile and others say nothing that is not known already. */
    }
}

/* What "as", "g" and "v" ask for; 0 when that is nothing known. */
static enum negotiate_as clause_as(const struct clause *clause, bool *v1beta1)
{
    static const struct {
        const char *as, *group, *version;
        enum negotiate_as result;
    } table[] = {
        {"Table", "meta.k8s.io", "v1", NEGOTIATE_TABLE},
        {"Table", "meta.k8s.io", "v1beta1", NEGOTIATE_TABLE},
        {"PartialObjectMetadata", "meta.k8s.io", "v1", NEGOTIATE_PARTIAL},
        {"PartialObjectMetadata", "meta.k8s.io", "v1beta1", NEGOTIATE_PARTIAL},
        {"PartialObjectMetadataList", "meta.k8s.io", "v1", NEGOTIATE_PARTIAL_LIST},
        {"PartialObjectMetadataList", "meta.k8s.io", "v1beta1", NEGOTIATE_PARTIAL_LIST},
        {"APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2", NEGOTIATE_DISCOVERY_V2},
        {"APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2beta1", NEGOTIATE_DISCOVERY_V2BETA1},
    };
    *v1beta1 = strcmp(clause->version, "v1beta1") == 0;
    if (!*clause->as)
        return NEGOTIATE_OBJECT;
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (strcmp(clause->as, table[i].as) == 0 && strcmp(clause->group, table[i].group) == 0 &&
            strcmp(clause->version, table[i].version) == 0)
            return table[i].result;
    return 0;
}

static enum negotiate_media clause_media(const struct clause *clause, unsigned offered)
{
    if (strcmp(clause->type, "*/*") == 0 || strcasecmp(clause->type, "application/*") == 0)
        return (offered & NEGOTIATE_JSON) ? NEGOTIATE_JSON : 0;
    for (size_t i = 0; i < MEDIA_TYPES; i++)
        if ((media_types[i].media & offered) && strcasecmp(clause->type, media_types[i].type) == 0)
            return media_types[i].media;
    return 0;
}

bool negotiate(const char *accept, unsigned media, unsigned as, struct negotiate_result *out)
{
    int best = 0;
    if (!accept || !*accept)
        accept = "*/*";
    for (const char *p = accept; *p;) {
        char text[CLAUSE_MAX];
        size_t n = strcspn(p, ",");
        if (n < sizeof(text)) {
            struct clause clause;
            bool v1beta1;
            memcpy(text, p, n);
            text[n] = '\0';
            clause_parse(&clause, text);
            enum negotiate_media m = clause_media(&clause, media);
            enum negotiate_as a = clause_as(&clause, &v1beta1);
            bool table_as_protobuf = a == NEGOTIATE_TABLE && m == NEGOTIATE_PROTOBUF; /* has no such form */
            if (m && (a & as) && !table_as_protobuf && clause.quality > best) {
                best = clause.quality;
                *out = (struct negotiate_result){m, a, v1beta1};
            }
        }
        p += n;
        p += *p == ',';
    }
    return best > 0;
}

void negotiate_offers(char *out, size_t size, unsigned media)
{
    size_t len = 0;
    *out = '\0';
    for (size_t i = 0; i < MEDIA_TYPES; i++)
        if (media_types[i].media & media) {
            int n = snprintf(out + len, size - len, "%s%s", len ? ", " : "", media_types[i].type);
            if (n < 0 || (size_t)n >= size - len)
                return;
            len += (size_t)n;
        }
}
