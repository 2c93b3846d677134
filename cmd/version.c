/* katena version */
#include "commands.h"

#include <stdio.h>

int cmd_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("katena %s (Kubernetes API v1.35)\n", KATENA_VERSION);
    return 0;
}
