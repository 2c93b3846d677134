/* See http_get.h. */
#include "kubelet/http_get.h"

#include "base/mem.h"
#include "codec/json.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

int http_port(const json_t *port, const json_t *spec)
{
    if (json_is_integer(port))
        return (int)json_integer_value(port);
    const char *name = json_string_value(port);
    if (!name)
        return 0;
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(spec, "ports"), i, item)
    {
        if (strcmp(json_str_or_empty(item, "name"), name) == 0)
            return (int)json_int_or(0, item, "containerPort");
    }
    return atoi(name);
}

static size_t discard(char *data, size_t size, size_t n, void *arg)
{
    (void)data, (void)arg;
    return size * n;
}

static struct curl_slist *make_headers(const json_t *action)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: */*");
    size_t i;
    json_t *header;
    json_array_foreach(json_object_get(action, "httpHeaders"), i, header)
    {
        char *line mem_auto =
            mem_printf("%s: %s", json_str_or_empty(header, "name"), json_str_or_empty(header, "value"));
        headers = curl_slist_append(headers, line);
    }
    return headers;
}

int http_get(const json_t *action, const json_t *spec, const char *host, int64_t timeout_s, long *status,
             struct err *err)
{
    const char *named = json_str(action, "host"), *path = json_str_or_empty(action, "path");
    bool https = strcasecmp(json_str_or_empty(action, "scheme"), "HTTPS") == 0;
    if (named && *named)
        host = named;
    bool v6 = strchr(host, ':') != NULL;
    char *url mem_auto =
        mem_printf("%s://%s%s%s:%d%s%s", https ? "https" : "http", v6 ? "[" : "", host, v6 ? "]" : "",
                   http_port(json_object_get(action, "port"), spec), *path == '/' ? "" : "/", path);
    struct curl_slist *headers = make_headers(action);
    CURL *curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "kube-probe/1.35");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)timeout_s);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L); /* probes do not check certificates */
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    if (code == CURLE_OK)
        return 0;
    int port = http_port(json_object_get(action, "port"), spec);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return err_set(
            err, ERR_TIMEOUT,
            "Get \"%s\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)", url);
    if (code == CURLE_COULDNT_CONNECT)
        return err_set(err, ERR_UNAVAILABLE, "Get \"%s\": dial tcp %s:%d: connect: connection refused", url,
                       host, port);
    return err_set(err, ERR_UNAVAILABLE, "Get \"%s\": %s", url, curl_easy_strerror(code));
}

static int connect_in_time(const struct addrinfo *address, int64_t timeout_s)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int error = connect(fd, address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        socklen_t len = sizeof(error);
        if (poll(&ready, 1, (int)(timeout_s * 1000)) <= 0)
            error = ETIMEDOUT;
        else
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    }
    close(fd);
    return error;
}

int tcp_connect(const json_t *action, const json_t *spec, const char *host, int64_t timeout_s,
                struct err *err)
{
    char port[16];
    const char *named = json_str(action, "host");
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    if (named && *named)
        host = named;
    snprintf(port, sizeof(port), "%d", http_port(json_object_get(action, "port"), spec));
    if (getaddrinfo(host, port, &hints, &list) != 0)
        return err_set(err, ERR_UNAVAILABLE, "dial tcp: lookup %s: no such host", host);
    int error = connect_in_time(list, timeout_s);
    freeaddrinfo(list);
    if (error == ETIMEDOUT)
        return err_set(err, ERR_TIMEOUT, "dial tcp %s:%s: i/o timeout", host, port);
    if (error)
        return err_set(err, ERR_UNAVAILABLE, "dial tcp %s:%s: connect: %s", host, port,
                       error == ECONNREFUSED ? "connection refused" : strerror(error));
    return 0;
}
