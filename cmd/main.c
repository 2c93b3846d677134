/* katena: finds the subcommand and runs it. */
#include "commands.h"

#include <stdio.h>
#include <string.h>

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"server", cmd_server, "run a node: API server, scheduler, controllers, kubelet"},
    {"token", cmd_token, "make tokens with which nodes join the cluster"},
    {"node", cmd_node, "list and remove nodes, renew their keys"},
    {"wait", cmd_wait, "wait until a change is irreversible"},
    {"kubeconfig", cmd_kubeconfig, "print the administrator's kubeconfig"},
    {"chain", cmd_chain, "read, verify and prove the history of the cluster"},
    {"version", cmd_version, "print the version"},
    {"oci-runtime", cmd_oci_runtime, NULL}, /* for containerd, not for users */
};

static void print_usage(FILE *out)
{
    fputs("katena is a Kubernetes control plane with no quorum to lose.\n\n"
          "Usage:\n  katena COMMAND [OPTION...]\n\nCommands:\n",
          out);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (commands[i].summary)
            fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].summary);
    fputs("\n`katena COMMAND --help` tells the options of a command.\n", out);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    const char *name = argv[1];
    if (!strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h")) {
        print_usage(stdout);
        return 0;
    }
    if (!strcmp(name, "--version"))
        name = "version";
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (!strcmp(name, commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "katena: unknown command \"%s\"\nRun 'katena --help' for usage.\n", name);
    return 2;
}
