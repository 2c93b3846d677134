/* The subcommands of katena. Each gets its own name as argv[0] and returns the exit status. */
#ifndef KATENA_CMD_COMMANDS_H
#define KATENA_CMD_COMMANDS_H

int cmd_server(int argc, char **argv);
int cmd_kubeconfig(int argc, char **argv);
int cmd_chain(int argc, char **argv);
int cmd_token(int argc, char **argv);
int cmd_node(int argc, char **argv);
int cmd_wait(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_oci_runtime(int argc, char **argv); /* for containerd */

/* Where a node keeps everything unless --data-dir says otherwise. */
#define DEFAULT_DATA_DIR "/var/lib/katena"

#endif
