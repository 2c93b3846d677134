/* What the files of katena server share. */
#ifndef KATENA_CMD_SERVER_H
#define KATENA_CMD_SERVER_H

/* --cluster-reset: returns the exit status. */
int server_cluster_reset(const char *data_dir);

#endif
