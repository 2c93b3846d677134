/*
 * The tables and figures of the papers, each beside what this code gives (hack/paper runs it).
 * Papers: "Blockchain Based Cloud Management Architecture for Maximum Availability" (tables) and the one on
 * decentralized application migration with roles from a verifiable delay function (figures).
 */
#ifndef KATENA_PAPER_H
#define KATENA_PAPER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Each prints its part; false when what was run is not what the rules promise. */
bool paper_table_1(void);
bool paper_table_2(void);
bool paper_table_3(uint64_t seed);
bool paper_figure_7(const char *svg_path);
bool paper_figure_8(const char *svg_path, uint32_t nodes, uint32_t slots);

/* A panel of bars in a picture. */
struct svg_panel {
    const char *title;
    const double *values;
    uint32_t count;
    double top; /* of the scale */
    const char *colour;
};

bool svg_bars(const char *path, const char *heading, const struct svg_panel *panels, unsigned count);

#endif
