/* katena oci-runtime: what containerd calls instead of runc where variables are sealed; not for users. */
#include "commands.h"

#include "base/err.h"
#include "cri/oci_runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool read_key(uint8_t key[SEALED_KEY_SIZE], const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, key, SEALED_KEY_SIZE);
    if (fd >= 0)
        close(fd);
    return n == SEALED_KEY_SIZE;
}

int cmd_oci_runtime(int argc, char **argv)
{
    if (argc < 4) {
        fputs("usage: katena oci-runtime RUNC SEAL-KEY-FILE ARGUMENT...\n"
              "It stands between containerd and runc and opens the variables that katena has sealed.\n",
              stderr);
        return 2;
    }
    uint8_t key[SEALED_KEY_SIZE];
    struct err err;
    if (!read_key(key, argv[2])) {
        fprintf(stderr, "katena oci-runtime: cannot read %s: %s\n", argv[2], strerror(errno));
        return 1;
    }
    oci_runtime_exec(argv[1], key, argv + 2, &err);
    fprintf(stderr, "katena oci-runtime: %s\n", err.message);
    return 1;
}
