/*
 * A real containerd in a directory of its own, with a busybox image, for tests of what talks to it. Needs
 * root, containerd, runc, the CNI plugins and a static busybox; fixture_usable says whether they are there.
 */
#ifndef KATENA_TEST_CONTAINERD_FIXTURE_H
#define KATENA_TEST_CONTAINERD_FIXTURE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cri/containerd.h"
#include "cri/image.h"
#include "cri/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIXTURE_IMAGE "katena.local/busybox:1"

struct containerd_fixture {
    char dir[64];
    struct containerd *containerd;
    struct cri_runtime *rt;
};

static inline bool fixture_usable(void)
{
    bool usable = geteuid() == 0 && access("/usr/bin/containerd", X_OK) == 0 &&
                  access("/usr/sbin/runc", X_OK) == 0 && access("/usr/lib/cni/bridge", X_OK) == 0 &&
                  access("/usr/bin/busybox", X_OK) == 0 && access("/usr/bin/ctr", X_OK) == 0;
    if (!usable)
        fprintf(stderr, "needs root, containerd, runc, the CNI plugins and busybox: skipped\n");
    return usable;
}

static inline int fixture_import_busybox(struct containerd_fixture *f, struct err *err)
{
    static const char *const applets[] = {"sh",   "cat",   "echo",     "sleep", "ls",       "env",
                                          "id",   "httpd", "wget",     "true",  "false",    "stty",
                                          "test", "touch", "hostname", "nc",    "grep",     "dd",
                                          "kill", "seq",   "mount",    "df",    "readlink", "date"};
    enum { APPLETS = sizeof(applets) / sizeof(applets[0]) };
    struct buf program buf_auto = BUF_INIT;
    struct buf archive buf_auto = BUF_INIT;
    struct image_file files[APPLETS + 1];
    char names[APPLETS][32];
    FILE *in = fopen("/usr/bin/busybox", "rb");
    if (!in)
        return err_set_errno(err, "open busybox");
    buf_reserve(&program, 4 << 20);
    program.len = fread(program.data, 1, 4 << 20, in);
    fclose(in);
    files[0] =
        (struct image_file){.path = "bin/busybox", .mode = 0755, .data = program.data, .len = program.len};
    for (size_t i = 0; i < APPLETS; i++) {
        snprintf(names[i], sizeof(names[i]), "bin/%s", applets[i]);
        files[i + 1] = (struct image_file){.path = names[i], .data = "busybox", .len = 7, .link = 1};
    }
    static const char *const env[] = {"PATH=/bin", NULL};
    static const char *const command[] = {"sh", NULL};
    struct image image = {
        .name = FIXTURE_IMAGE, .files = files, .file_count = APPLETS + 1, .env = env, .command = command};
    image_archive(&archive, &image);
    char tar[128];
    snprintf(tar, sizeof(tar), "%s/busybox.tar", f->dir);
    FILE *out = fopen(tar, "wb");
    fwrite(archive.data, 1, archive.len, out);
    fclose(out);
    int rc = containerd_import(containerd_endpoint(f->containerd), tar, err);
    unlink(tar);
    bool present = false;
    for (int i = 0; rc == 0 && !present && i < 500; i++) {
        Cri__ImageStatusResponse *status = NULL;
        rc = f->rt->ops->image_status(f->rt, FIXTURE_IMAGE, &status, err);
        present = rc == 0 && status->image;
        cri_free(status);
        if (!present)
            usleep(10000);
    }
    return rc;
}

static inline int fixture_start(struct containerd_fixture *f, const char *bridge, const char *cidr,
                                struct err *err)
{
    *f = (struct containerd_fixture){.dir = "/tmp/katena-ctrd-XXXXXX"};
    if (!mkdtemp(f->dir))
        return err_set_errno(err, "mkdtemp");
    struct containerd_options options = {.data_dir = f->dir, .pod_cidr = cidr, .bridge = bridge};
    int rc = containerd_start(&f->containerd, &options, err);
    if (rc)
        return rc;
    f->rt = cri_connect(containerd_endpoint(f->containerd));
    return fixture_import_busybox(f, err);
}

static inline void fixture_stop(struct containerd_fixture *f)
{
    struct err err;
    cri_disconnect(f->rt);
    containerd_release(f->containerd);
    containerd_stop_all(f->dir, &err);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf --one-file-system %s", f->dir);
    if (system(command) != 0)
        fprintf(stderr, "cannot remove %s\n", f->dir);
}

#endif
