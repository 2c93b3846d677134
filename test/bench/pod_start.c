/* See load.h: how long a pod takes from its creation until the API says that it is running. */
#include "load.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PODS "/api/v1/namespaces/bench/pods"
#define PATIENCE_US 30000000
#define POLL_US 1000

/* One request; the answer's text is NUL-terminated in the connection's buffer. */
static int call(struct http_connection *http, const char *method, const char *path, const char *body,
                const char **text)
{
    size_t answer, answer_len;
    int status = http_call(http, method, path, "application/json", body, strlen(body), &answer, &answer_len);
    http->buffer[answer + answer_len] = '\0';
    *text = http->buffer + answer;
    return status;
}

static bool is_running(struct http_connection *http, const char *path)
{
    const char *text;
    if (call(http, "GET", path, "", &text) != 200)
        load_fail("GET %s: %s", path, text);
    if (strstr(text, "\"phase\":\"Failed\""))
        load_fail("the pod failed: %s", text);
    return strstr(text, "\"phase\":\"Running\"") != NULL;
}

static bool is_gone(struct http_connection *http, const char *path)
{
    const char *text;
    return call(http, "GET", path, "", &text) == 404;
}

static void wait_until(struct http_connection *http, const char *path,
                       bool (*holds)(struct http_connection *http, const char *path))
{
    int64_t begun = clock_mono_us();
    while (!holds(http, path)) {
        if (clock_mono_us() - begun > PATIENCE_US)
            load_fail("%s does not get where it should", path);
        usleep(POLL_US);
    }
}

int64_t pod_start_once(struct http_connection *http, const char *image, int number)
{
    char body[512], path[128];
    const char *text;
    snprintf(path, sizeof(path), PODS "/start-%d", number);
    snprintf(body, sizeof(body),
             "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"start-%d\"},\"spec\":{"
             "\"restartPolicy\":\"Never\",\"automountServiceAccountToken\":false,"
             "\"containers\":[{\"name\":\"main\",\"image\":\"%s\","
             "\"imagePullPolicy\":\"IfNotPresent\",\"command\":[\"sleep\",\"60\"]}]}}",
             number, image);
    int64_t begun = clock_mono_us();
    if (call(http, "POST", PODS, body, &text) != 201)
        load_fail("POST %s: %s", PODS, text);
    wait_until(http, path, is_running);
    int64_t took = clock_mono_us() - begun;
    call(http, "DELETE", path, "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"gracePeriodSeconds\":1}",
         &text);
    wait_until(http, path, is_gone);
    return took;
}
