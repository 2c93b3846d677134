/* See names.h. Source of the texts: apimachinery's pkg/util/validation, as behaviour. */
#include "object/names.h"

#include <assert.h>
#include <string.h>

#define LABEL_REGEX "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define SUBDOMAIN_REGEX LABEL_REGEX "(\\." LABEL_REGEX ")*"
#define KEY_REGEX "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

#define LABEL_FAULT                                                                                         \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start " \
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "  \
    "'" LABEL_REGEX "')"
#define SUBDOMAIN_FAULT                                                                                    \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "  \
    "must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is " \
    "'" SUBDOMAIN_REGEX "')"
#define KEY_RULE                                                                                             \
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric " \
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '" KEY_REGEX "')"

#define LABEL_MAX 63
#define SUBDOMAIN_MAX 253
#define PORT_NAME_MAX 15
#define FAULT_LABEL_LENGTH "must be no more than 63 characters"
#define FAULT_SUBDOMAIN_LENGTH "must be no more than 253 characters"

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static void fault_add(struct name_faults *faults, const char *text)
{
    assert(faults->count < sizeof(faults->texts) / sizeof(faults->texts[0]));
    faults->texts[faults->count++] = text;
}

static bool is_dns_label(const char *value, size_t len)
{
    if (!len || !is_lower_alnum(value[0]) || !is_lower_alnum(value[len - 1]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_lower_alnum(value[i]) && value[i] != '-')
            return false;
    return true;
}

static bool is_dns_subdomain(const char *value, size_t len)
{
    const char *end = value + len;
    for (;;) {
        const char *dot = memchr(value, '.', (size_t)(end - value));
        if (!is_dns_label(value, (size_t)((dot ? dot : end) - value)))
            return false;
        if (!dot)
            return true;
        value = dot + 1;
    }
}

/* The name part of a label key, and a label value that is not empty. */
static bool is_key_name(const char *value)
{
    size_t len = strlen(value);
    if (!len || !is_alnum(value[0]) || !is_alnum(value[len - 1]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_alnum(value[i]) && !strchr("-_.", value[i]))
            return false;
    return true;
}

bool name_check_dns_label(struct name_faults *faults, const char *value)
{
    size_t before = faults->count;
    size_t len = strlen(value);
    if (len > LABEL_MAX)
        fault_add(faults, FAULT_LABEL_LENGTH);
    if (!is_dns_label(value, len))
        fault_add(faults, is_dns_subdomain(value, len) ? "must not contain dots" : LABEL_FAULT);
    return faults->count == before;
}

bool name_check_dns_subdomain(struct name_faults *faults, const char *value)
{
    size_t before = faults->count;
    size_t len = strlen(value);
    if (len > SUBDOMAIN_MAX)
        fault_add(faults, FAULT_SUBDOMAIN_LENGTH);
    if (!is_dns_subdomain(value, len))
        fault_add(faults, SUBDOMAIN_FAULT);
    return faults->count == before;
}

bool name_check_dns1035_label(struct name_faults *faults, const char *value)
{
    size_t before = faults->count;
    size_t len = strlen(value);
    if (len > LABEL_MAX)
        fault_add(faults, FAULT_LABEL_LENGTH);
    if (!is_dns_label(value, len) || value[0] < 'a')
        fault_add(faults,
                  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with "
                  "an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "
                  "'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')");
    return faults->count == before;
}

bool name_check_wildcard_subdomain(struct name_faults *faults, const char *value)
{
    size_t before = faults->count;
    size_t len = strlen(value);
    if (len > SUBDOMAIN_MAX)
        fault_add(faults, FAULT_SUBDOMAIN_LENGTH);
    if (strncmp(value, "*.", 2) != 0 || !is_dns_subdomain(value + 2, len - 2))
        fault_add(faults,
                  "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, "
                  "which must consist of lower case alphanumeric characters, '-' or '.' and end with an "
                  "alphanumeric character (e.g. '*.example.com', regex used for validation is "
                  "'\\*\\." SUBDOMAIN_REGEX "')");
    return faults->count == before;
}

bool name_check_path_segment(struct name_faults *faults, const char *value)
{
    size_t before = faults->count;
    if (!strcmp(value, ".")) {
        fault_add(faults, "may not be '.'");
    } else if (!strcmp(value, "..")) {
        fault_add(faults, "may not be '..'");
    } else {
        if (strchr(value, '/'))
            fault_add(faults, "may not contain '/'");
        if (strchr(value, '%'))
            fault_add(faults, "may not contain '%'");
    }
    return faults->count == before;
}

static void check_key_prefix(struct name_faults *faults, const char *prefix, size_t len)
{
    if (!len) {
        fault_add(faults, "prefix part must be non-empty");
        return;
    }
    if (len > SUBDOMAIN_MAX)
        fault_add(faults, "prefix part " FAULT_SUBDOMAIN_LENGTH);
    if (!is_dns_subdomain(prefix, len))
        fault_add(faults, "prefix part " SUBDOMAIN_FAULT);
}

bool name_check_label_key(struct name_faults *faults, const char *value)
{
    size_t before = faults->count;
    const char *slash = strchr(value, '/');
    if (slash && strchr(slash + 1, '/')) {
        fault_add(faults, "a valid label key " KEY_RULE
                          " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')");
        return false;
    }
    const char *name = slash ? slash + 1 : value;
    if (slash)
        check_key_prefix(faults, value, (size_t)(slash - value));
    if (!*name)
        fault_add(faults, "name part must be non-empty");
    else if (strlen(name) > LABEL_MAX)
        fault_add(faults, "name part " FAULT_LABEL_LENGTH);
    if (!is_key_name(name))
        fault_add(faults, "name part " KEY_RULE);
    return faults->count == before;
}

bool name_check_label_value(struct name_faults *faults, const char *value)
{
    size_t before = faults->count;
    if (strlen(value) > LABEL_MAX)
        fault_add(faults, FAULT_LABEL_LENGTH);
    if (*value && !is_key_name(value))
        fault_add(faults,
                  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
                  "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
                  "'my_value',  or '12345', regex used for validation is '(" KEY_REGEX ")?')");
    return faults->count == before;
}

bool name_check_config_key(struct name_faults *faults, const char *value)
{
    size_t before = faults->count;
    if (strlen(value) > SUBDOMAIN_MAX)
        fault_add(faults, FAULT_SUBDOMAIN_LENGTH);
    bool fine = *value != '\0';
    for (const char *p = value; *p; p++)
        fine = fine && (is_alnum(*p) || strchr("-._", *p));
    if (!fine)
        fault_add(faults, "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
                          "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
                          "'[-._a-zA-Z0-9]+')");
    if (!strcmp(value, "."))
        fault_add(faults, "must not be '.'");
    else if (!strcmp(value, ".."))
        fault_add(faults, "must not be '..'");
    else if (!strncmp(value, "..", 2))
        fault_add(faults, "must not start with '..'");
    return faults->count == before;
}

bool name_check_env_name(struct name_faults *faults, const char *value)
{
    size_t before = faults->count;
    if (!*value)
        fault_add(faults, "environment variable name must be non-empty");
    for (const char *p = value; *p; p++) {
        if (*p < ' ' || *p > '~' || *p == '=') {
            fault_add(faults,
                      "a valid environment variable name must consist only of printable ASCII characters "
                      "other than '='");
            break;
        }
    }
    return faults->count == before;
}

bool name_check_port_name(struct name_faults *faults, const char *value)
{
    size_t before = faults->count;
    size_t len = strlen(value);
    bool letter = false;
    bool charset = len > 0;
    for (const char *p = value; *p; p++) {
        letter = letter || (*p >= 'a' && *p <= 'z');
        charset = charset && (is_lower_alnum(*p) || *p == '-');
    }
    if (len > PORT_NAME_MAX)
        fault_add(faults, "must be no more than 15 characters");
    if (!charset)
        fault_add(faults, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    if (!letter)
        fault_add(faults, "must contain at least one letter (a-z)");
    if (strstr(value, "--"))
        fault_add(faults, "must not contain consecutive hyphens");
    if (len && (value[0] == '-' || value[len - 1] == '-'))
        fault_add(faults, "must not begin or end with a hyphen");
    return faults->count == before;
}

bool name_check_http_header(struct name_faults *faults, const char *value)
{
    bool fine = *value != '\0';
    for (const char *p = value; *p; p++)
        fine = fine && (is_alnum(*p) || *p == '-');
    if (!fine)
        fault_add(faults, "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. "
                          "'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')");
    return fine;
}

bool name_check_c_identifier(struct name_faults *faults, const char *value)
{
    bool fine = *value && !(*value >= '0' && *value <= '9');
    for (const char *p = value; *p; p++)
        fine = fine && (is_alnum(*p) || *p == '_');
    if (!fine)
        fault_add(faults,
                  "a valid C identifier must start with alphabetic character or '_', followed by a string "
                  "of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex "
                  "used for validation is '[A-Za-z_][A-Za-z0-9_]*')");
    return fine;
}

void name_faults_join(struct buf *out, const struct name_faults *faults, const char *separator)
{
    for (size_t i = 0; i < faults->count; i++) {
        if (i)
            buf_puts(out, separator);
        buf_puts(out, faults->texts[i]);
    }
}
