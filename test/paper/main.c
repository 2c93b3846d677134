/* paper table1|table2|table3|figure7 FILE|figure8 FILE [NODES SLOTS]; hack/paper runs all. */
#include "paper.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    const char *file = argc > 2 ? argv[2] : "/dev/null";
    if (sodium_init() < 0)
        return 1;
    bool ok;
    if (strcmp(what, "table1") == 0) {
        ok = paper_table_1();
    } else if (strcmp(what, "table2") == 0) {
        ok = paper_table_2();
    } else if (strcmp(what, "table3") == 0) {
        ok = paper_table_3(1);
    } else if (strcmp(what, "figure7") == 0) {
        ok = paper_figure_7(file);
    } else if (strcmp(what, "figure8") == 0) {
        uint32_t nodes = argc > 4 ? (uint32_t)strtoul(argv[3], NULL, 10) : 1000;
        ok = paper_figure_8(file, nodes, argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 30);
    } else {
        fprintf(stderr, "usage: %s table1|table2|table3|figure7 FILE|figure8 FILE [NODES SLOTS]\n", argv[0]);
        return 2;
    }
    if (!ok)
        printf("%s is not what the rules promise\n", what);
    return !ok;
}
