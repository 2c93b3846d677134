/*
 * Images without a registry: archives that lie in <data-dir>/images are imported at the start, as k3s
 * does it. A mark beside each archive tells which state of it was imported.
 */
#include "node/node_internal.h"

#include "base/log.h"
#include "cri/containerd.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_imported(const char *archive, const char *mark)
{
    struct stat a, m;
    return !stat(archive, &a) && !stat(mark, &m) && m.st_mtim.tv_sec >= a.st_mtim.tv_sec;
}

static void import_archive(const char *endpoint, const char *archive)
{
    char mark[4096];
    snprintf(mark, sizeof(mark), "%s.imported", archive);
    if (is_imported(archive, mark))
        return;
    struct err err;
    if (containerd_import(endpoint, archive, &err)) {
        log_warn("node", "image archive %s is left out: %s", archive, err.message);
        return;
    }
    int fd = open(mark, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    log_info("node", "imported %s", archive);
}

void node_import_images(const char *endpoint, const char *data_dir)
{
    char dir_path[3072];
    snprintf(dir_path, sizeof(dir_path), "%s/images", data_dir);
    DIR *dir = opendir(dir_path);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        size_t len = strlen(entry->d_name);
        if (len < 5 || strcmp(entry->d_name + len - 4, ".tar") != 0)
            continue;
        char path[4000];
        snprintf(path, sizeof(path), "%s/%s", dir_path, entry->d_name);
        import_archive(endpoint, path);
    }
    closedir(dir);
}
