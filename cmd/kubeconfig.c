/* katena kubeconfig: prints what the first start of a server wrote. */
#include "commands.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char usage[] = "Print the administrator's kubeconfig of a node.\n\n"
                            "Usage:\n  katena kubeconfig [--data-dir DIR]\n\n"
                            "Options:\n  --data-dir DIR   the node's data (default " DEFAULT_DATA_DIR ")\n";

static int print_file(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "katena: cannot read %s: %s\n", path, strerror(errno));
        if (errno == ENOENT)
            fputs("Start the node first (katena server), or name its data with --data-dir.\n", stderr);
        return 1;
    }
    char block[4096];
    for (size_t n; (n = fread(block, 1, sizeof(block), file)) > 0;)
        fwrite(block, 1, n, stdout);
    fclose(file);
    return 0;
}

int cmd_kubeconfig(int argc, char **argv)
{
    static const struct option options[] = {
        {"data-dir", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const char *data_dir = DEFAULT_DATA_DIR;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'd':
            data_dir = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    char path[4096];
    snprintf(path, sizeof(path), "%s/kubeconfig", data_dir);
    return print_file(path);
}
