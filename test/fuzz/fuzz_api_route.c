/* Paths, methods and query parameters: "METHOD path?name=value&…". */
#include "api/query.h"
#include "api/route.h"
#include "base/mem.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_query(char *text)
{
    struct query query;
    struct err err;
    char *save = NULL;
    query_init(&query);
    for (char *pair = strtok_r(text, "&", &save); pair; pair = strtok_r(NULL, "&", &save)) {
        char *value = strchr(pair, '=');
        if (value)
            *value++ = '\0';
        err_clear(&err);
        int code = query_put(&query, pair, value ? value : "", &err);
        assert(code == err.code && code <= 0);
    }
    struct api_request request = {0};
    query_apply(&query, &request);
    assert(request.grace_period_s >= -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mem_auto char *text = mem_strndup((const char *)data, size);
    char *path = strchr(text, ' ');
    if (!path)
        return 0;
    *path++ = '\0';
    char *parameters = strchr(path, '?');
    if (parameters)
        *parameters++ = '\0';
    struct route route;
    enum api_verb verb;
    route_parse(&route, path);
    if (route.what == ROUTE_RESOURCE) {
        assert(*route.resource && *route.version);
        assert(*route.name || !*route.subresource);
        if (route_verb(&route, text, false, &verb))
            assert(route_verb_name(verb));
    }
    route_free(&route);
    if (parameters)
        parse_query(parameters);
    return 0;
}
