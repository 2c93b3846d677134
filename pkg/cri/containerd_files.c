/* The files of a node's containerd: where they are, and what its configuration says. */
#include "cri/containerd_internal.h"

#include "base/buf.h"
#include "base/hex.h"
#include "base/mem.h"
#include "codec/json.h"
#include "cri/oci_runtime.h"

#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* containerd adds ".ttrpc" to the path of its socket. */
#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1 - sizeof(".ttrpc"))

#define CAP_SYS_RESOURCE_BIT 24

void containerd__paths_init(struct containerd__paths *paths, const char *data_dir)
{
    *paths = (struct containerd__paths){0};
    paths->dir = mem_printf("%s/containerd", data_dir);
    paths->config = mem_printf("%s/config.toml", paths->dir);
    paths->pid = mem_printf("%s/containerd.pid", paths->dir);
    paths->log = mem_printf("%s/containerd.log", paths->dir);
    paths->bridge = mem_printf("%s/bridge", paths->dir);
    paths->socket = mem_printf("%s/containerd.sock", paths->dir);
    if (strlen(paths->socket) > SOCKET_PATH_MAX) {
        uint8_t digest[crypto_hash_sha256_BYTES];
        char hex[17];
        crypto_hash_sha256(digest, (const unsigned char *)data_dir, strlen(data_dir));
        hex_encode(hex, digest, 8);
        paths->run = mem_printf("/run/katena-%s", hex);
        free(paths->socket);
        paths->socket = mem_printf("%s/containerd.sock", paths->run);
    }
}

void containerd__paths_free(struct containerd__paths *paths)
{
    free(paths->dir);
    free(paths->config);
    free(paths->pid);
    free(paths->log);
    free(paths->bridge);
    free(paths->socket);
    free(paths->run);
}

int containerd__make_dirs(const char *path, struct err *err)
{
    char *copy mem_auto = mem_strdup(path);
    for (char *p = copy + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char c = *p;
        *p = '\0';
        if (mkdir(copy, 0711) != 0 && errno != EEXIST)
            return err_set_errno(err, "mkdir %s", copy);
        *p = c;
        if (c == '\0')
            return 0;
    }
}

int containerd__write_file(const char *path, const char *text, int mode, struct err *err)
{
    char *temporary mem_auto = mem_printf("%s.new", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return err_set_errno(err, "create %s", temporary);
    size_t len = strlen(text);
    bool ok = write(fd, text, len) == (ssize_t)len;
    close(fd);
    if (!ok || rename(temporary, path) != 0)
        return err_set_errno(err, "write %s", path);
    return 0;
}

char *containerd__read_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct buf text = BUF_INIT;
    char chunk[4096];
    for (ssize_t n; (n = read(fd, chunk, sizeof(chunk))) > 0;)
        buf_append(&text, chunk, (size_t)n);
    close(fd);
    buf_reserve(&text, 1);
    return text.len ? buf_steal(&text) : (buf_free(&text), mem_strdup(""));
}

int containerd__run(const char *const *argv, struct err *err)
{
    pid_t pid;
    sigset_t none;
    posix_spawnattr_t attributes;
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    int rc = posix_spawnp(&pid, argv[0], &actions, &attributes, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (rc != 0) {
        errno = rc;
        return err_set_errno(err, "run %s", argv[0]);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(err, ERR_INTERNAL, "%s failed with status %d", argv[0], WEXITSTATUS(status));
    return 0;
}

static bool has_sys_resource(void)
{
    char *status mem_auto = containerd__read_file("/proc/self/status");
    const char *line = status ? strstr(status, "\nCapEff:") : NULL;
    return line && (strtoull(line + 8, NULL, 16) >> CAP_SYS_RESOURCE_BIT & 1);
}

/* Whether overlayfs works on the file system of the data directory; found out by a trial mount. */
static bool overlay_works(const char *dir)
{
    char *probe mem_auto = mem_printf("%s/probe", dir);
    static const char *const parts[] = {"lower", "upper", "work", "merged"};
    struct err err;
    for (size_t i = 0; i < 4; i++) {
        char *part mem_auto = mem_printf("%s/%s", probe, parts[i]);
        if (containerd__make_dirs(part, &err))
            return false;
    }
    char *merged mem_auto = mem_printf("%s/merged", probe);
    char *options mem_auto =
        mem_printf("lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", probe, probe, probe);
    bool works = mount("overlay", merged, "overlay", 0, options) == 0;
    if (works)
        umount2(merged, MNT_DETACH);
    static const char *const leftovers[] = {"lower", "upper", "work/work", "work", "merged", ""};
    for (size_t i = 0; i < 6; i++) {
        char *path mem_auto = mem_printf("%s/%s", probe, leftovers[i]);
        rmdir(path);
    }
    return works;
}

static const char *find_runc(void)
{
    static const char *const places[] = {"/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc",
                                         "/usr/local/bin/runc"};
    for (size_t i = 0; i < 4; i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return "runc";
}

#define CRI_PLUGIN "[plugins.\"io.containerd.grpc.v1.cri\""

static void runtime_text(struct buf *out, const char *handler, const char *program)
{
    buf_printf(out,
               CRI_PLUGIN
               ".containerd.runtimes.%s]\n  runtime_type = \"io.containerd.runc.v2\"\n" CRI_PLUGIN
               ".containerd.runtimes.%s.options]\n  SystemdCgroup = false\n  BinaryName = \"%s\"\n",
               handler, handler, program);
}

/* A script, since containerd gives no arguments of ours to a runtime. */
static int write_sealed_runtime(const char *path, const char *seal_key_file, struct err *err)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (len < 0)
        return err_set_errno(err, "cannot find out where katena is");
    self[len] = '\0';
    char *text mem_auto =
        mem_printf("#!/bin/sh\nexec '%s' oci-runtime '%s' '%s' \"$@\"\n", self, find_runc(), seal_key_file);
    return containerd__write_file(path, text, 0755, err);
}

/* sealed: the program of the runtime for sealed texts; NULL: there is none. */
static void config_text(struct buf *out, const struct containerd__paths *paths, const char *data_dir,
                        const char *sealed)
{
    buf_printf(out, "version = 2\nroot = \"%s/root\"\nstate = \"%s/state\"\n", paths->dir, paths->dir);
    buf_puts(out, "disabled_plugins = [\"io.containerd.snapshotter.v1.aufs\", "
                  "\"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.devmapper\", "
                  "\"io.containerd.snapshotter.v1.zfs\", \"io.containerd.internal.v1.opt\", "
                  "\"io.containerd.internal.v1.restart\", \"io.containerd.tracing.processor.v1.otlp\"]\n");
    buf_printf(out, "[grpc]\n  address = \"%s\"\n", paths->socket);
    buf_printf(out, CRI_PLUGIN "]\n  sandbox_image = \"%s\"\n", CONTAINERD_PAUSE_IMAGE);
    buf_printf(out, "  restrict_oom_score_adj = %s\n", has_sys_resource() ? "false" : "true");
    buf_puts(out, "  netns_mounts_under_state_dir = true\n  disable_apparmor = false\n"
                  "  stream_server_address = \"127.0.0.1\"\n  stream_server_port = \"0\"\n"
                  "  max_container_log_line_size = 16384\n");
    buf_printf(out, CRI_PLUGIN ".cni]\n  bin_dir = \"/usr/lib/cni\"\n  conf_dir = \"%s/cni\"\n", data_dir);
    buf_printf(out, CRI_PLUGIN ".containerd]\n  snapshotter = \"%s\"\n  default_runtime_name = \"runc\"\n",
               overlay_works(paths->dir) ? "overlayfs" : "native");
    runtime_text(out, "runc", find_runc());
    if (sealed)
        runtime_text(out, OCI_RUNTIME_HANDLER, sealed);
}

/* A bridge of the node with addresses by host-local; what leaves the cluster's network is masqueraded by the
 * service proxy's rules, since the plugin would do it between nodes, too; hairpin lets a pod reach itself
 * through a service; portmap serves hostPort. */
static void cni_text(struct buf *out, const struct containerd_options *options, const char *bridge)
{
    json_auto_t *network =
        json_pack("{s:s, s:s, s:[{s:s, s:s, s:b, s:b, s:b, s:{s:s, s:s+, s:[[{s:s}]], s:[{s:s}]}},"
                  " {s:s, s:{s:b}, s:b}]}",
                  "cniVersion", "0.4.0", "name", "katena", "plugins", "type", "bridge", "bridge", bridge,
                  "isGateway", 1, "ipMasq", 0, "hairpinMode", 1, "ipam", "type", "host-local", "dataDir",
                  options->data_dir, "/cni/networks", "ranges", "subnet", options->pod_cidr, "routes", "dst",
                  "0.0.0.0/0", "type", "portmap", "capabilities", "portMappings", 1, "snat", 1);
    json_dump_buf(out, network);
}

/* A bridge with an address of another network would keep pods from starting. The node has another network
 * only when it has no pods. */
static void remove_old_bridge(const char *cni_path, const char *pod_cidr, const char *bridge)
{
    char *old mem_auto = containerd__read_file(cni_path);
    char *subnet mem_auto = mem_printf("\"%s\"", pod_cidr);
    if (old && *old && !strstr(old, subnet))
        containerd__remove_bridge(bridge);
}

int containerd__write_config(const struct containerd__paths *paths, const struct containerd_options *options,
                             bool *changed, struct err *err)
{
    const char *bridge = options->bridge ? options->bridge : "katena0";
    struct buf config buf_auto = BUF_INIT;
    struct buf cni buf_auto = BUF_INIT;
    char *cni_dir mem_auto = mem_printf("%s/cni", options->data_dir);
    char *cni_path mem_auto = mem_printf("%s/10-katena.conflist", cni_dir);
    int rc = containerd__make_dirs(paths->dir, err);
    if (rc == 0 && paths->run)
        rc = containerd__make_dirs(paths->run, err);
    if (rc == 0)
        rc = containerd__make_dirs(cni_dir, err);
    if (rc)
        return rc;
    char *sealed mem_auto =
        options->seal_key_file ? mem_printf("%s/%s", paths->dir, OCI_RUNTIME_HANDLER) : NULL;
    if (sealed)
        rc = write_sealed_runtime(sealed, options->seal_key_file, err);
    if (rc)
        return rc;
    config_text(&config, paths, options->data_dir, sealed);
    cni_text(&cni, options, bridge);
    remove_old_bridge(cni_path, options->pod_cidr, bridge);
    char *old mem_auto = containerd__read_file(paths->config);
    *changed = !old || strcmp(old, config.data) != 0;
    rc = containerd__write_file(cni_path, cni.data, 0644, err);
    if (rc == 0)
        rc = containerd__write_file(paths->bridge, bridge, 0644, err);
    if (rc == 0 && *changed)
        rc = containerd__write_file(paths->config, config.data, 0644, err);
    return rc;
}
