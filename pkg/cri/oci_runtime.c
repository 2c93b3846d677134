/* See oci_runtime.h. */
#include "cri/oci_runtime.h"

#include "base/mem.h"
#include "codec/json.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_MAX (16u << 20)
#define BUNDLE_OPENED \
    "katena-opened" /* within the bundle: a directory with a link into this process's memory */

/* Opens the part of a text behind a "NAME=", if that is sealed. */
static int open_text(json_t *list, size_t i, bool named, const uint8_t *key, struct err *err)
{
    const char *text = json_string_value(json_array_get(list, i));
    const char *equals = text && named ? strchr(text, '=') : NULL;
    const char *value = named ? (equals ? equals + 1 : NULL) : text;
    if (!value || !sealed_is(value))
        return 0;
    buf_auto struct buf opened = BUF_INIT;
    buf_append(&opened, text, (size_t)(value - text));
    int rc = sealed_open(&opened, key, value, err);
    if (!rc)
        json_array_set_new(list, i, json_stringn_nocheck(buf_str(&opened), opened.len));
    return rc;
}

static int open_process(json_t *process, const uint8_t *key, struct err *err)
{
    json_t *env = json_object_get(process, "env"), *args = json_object_get(process, "args");
    int rc = 0;
    for (size_t i = 0; !rc && i < json_array_size(env); i++)
        rc = open_text(env, i, true, key, err);
    for (size_t i = 0; !rc && i < json_array_size(args); i++)
        rc = open_text(args, i, false, key, err);
    return rc;
}

int oci_runtime_open(struct buf *json, const uint8_t key[SEALED_KEY_SIZE], const char *bundle,
                     struct err *err)
{
    json_auto_t *document = json_loadb(json->data, json->len, JSON_ALLOW_NUL, NULL);
    if (!document)
        return err_set(err, ERR_CORRUPT, "the container's configuration is no JSON");
    int rc = open_process(bundle ? json_object_get(document, "process") : document, key, err);
    if (rc)
        return rc;
    const char *root = json_str(document, "root", "path");
    if (bundle && root && *root != '/') {
        mem_auto char *path = mem_printf("%s/%s", bundle, root);
        json_object_set_new(json_object_get(document, "root"), "path", json_string(path));
    }
    buf_clear(json);
    mem_auto char *text = json_dumps(document, JSON_COMPACT);
    if (!text)
        return err_set(err, ERR_INTERNAL, "the container's configuration cannot be written");
    buf_puts(json, text);
    explicit_bzero(text, strlen(text));
    return 0;
}

static int read_file(struct buf *out, const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, "cannot open %s", path);
    ssize_t n;
    do {
        buf_reserve(out, 65536);
        n = read(fd, out->data + out->len, 65536);
        out->len += n > 0 ? (size_t)n : 0;
    } while ((n > 0 && out->len <= CONFIG_MAX) || (n < 0 && errno == EINTR));
    int rc = n < 0 ? err_set_errno(err, "cannot read %s", path) : 0;
    close(fd);
    if (!rc && out->len > CONFIG_MAX)
        rc = err_set(err, ERR_TOO_LARGE, "%s is too large", path);
    return rc;
}

/* A file without a name that the program to come can read as /proc/self/fd/N. */
static int memory_file(const struct buf *bytes, struct err *err)
{
    int fd = memfd_create("config.json", 0);
    if (fd < 0)
        return err_set_errno(err, "cannot make a file in memory");
    for (size_t done = 0; done < bytes->len;) {
        ssize_t n = write(fd, bytes->data + done, bytes->len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            close(fd);
            return err_set_errno(err, "cannot write a file in memory");
        }
        done += (size_t)n;
    }
    return fd;
}

/* The place in argv of the value that follows one of these options, given as "--bundle DIR" or "-b DIR". */
static char **option_value(char **argv, const char *name, const char *letter)
{
    for (char **arg = argv; *arg && arg[1]; arg++)
        if (!strcmp(*arg, name) || !strcmp(*arg, letter))
            return arg + 1;
    return NULL;
}

/* runc reads a bundle by its directory: one in which config.json leads to the memory of this process. */
static int point_bundle(char **bundle, const struct buf *json, struct err *err)
{
    char *dir = mem_printf("%s/%s", *bundle, BUNDLE_OPENED); /* argv's until the exec */
    mem_auto char *link = mem_printf("%s/config.json", dir);
    int fd = memory_file(json, err);
    if (fd < 0)
        return fd;
    mem_auto char *target = mem_printf("/proc/self/fd/%d", fd);
    unlink(link);
    if ((mkdir(dir, 0700) && errno != EEXIST) || symlink(target, link))
        return err_set_errno(err, "cannot make %s", link);
    *bundle = dir;
    return 0;
}

static int open_create(char **argv, const uint8_t *key, struct err *err)
{
    char **bundle = option_value(argv, "--bundle", "-b");
    if (!bundle)
        return 0;
    buf_auto struct buf json = BUF_INIT;
    mem_auto char *config = mem_printf("%s/config.json", *bundle);
    int rc = read_file(&json, config, err);
    if (rc || !json.len || !memmem(json.data, json.len, SEALED_PREFIX, strlen(SEALED_PREFIX)))
        return rc;
    rc = oci_runtime_open(&json, key, *bundle, err);
    return rc ? rc : point_bundle(bundle, &json, err);
}

static int open_exec(char **argv, const uint8_t *key, struct err *err)
{
    char **process = option_value(argv, "--process", "-p");
    if (!process)
        return 0;
    buf_auto struct buf json = BUF_INIT;
    int rc = read_file(&json, *process, err);
    if (rc || !json.len || !memmem(json.data, json.len, SEALED_PREFIX, strlen(SEALED_PREFIX)))
        return rc;
    rc = oci_runtime_open(&json, key, NULL, err);
    int fd = rc ? rc : memory_file(&json, err);
    if (fd < 0)
        return fd;
    *process = mem_printf("/proc/self/fd/%d", fd); /* argv's until the exec */
    return 0;
}

int oci_runtime_exec(const char *runc, const uint8_t key[SEALED_KEY_SIZE], char **argv, struct err *err)
{
    int rc = 0;
    for (char **arg = argv + 1; *arg && !rc; arg++) {
        if (!strcmp(*arg, "create") || !strcmp(*arg, "run"))
            rc = open_create(arg, key, err);
        else if (!strcmp(*arg, "exec"))
            rc = open_exec(arg, key, err);
        else
            continue;
        break;
    }
    if (rc)
        return rc;
    argv[0] = (char *)(uintptr_t)runc;
    execvp(runc, argv);
    return err_set_errno(err, "cannot run %s", runc);
}
