/* Bar charts as SVG, one panel below the other. */
#include "paper.h"

#define WIDTH 860
#define PANEL_HEIGHT 170
#define LEFT 56
#define RIGHT 12

static void panel_draw(FILE *out, const struct svg_panel *p, unsigned at)
{
    double base = 40 + (at + 1) * (double)PANEL_HEIGHT - 24, height = PANEL_HEIGHT - 52.0;
    double step = (double)(WIDTH - LEFT - RIGHT) / p->count;
    fprintf(out, "<text x='%d' y='%.1f' font-weight='bold'>%s</text>\n", LEFT, base - height - 8, p->title);
    for (int line = 0; line <= 2; line++) {
        double y = base - height * line / 2;
        fprintf(out, "<line x1='%d' x2='%d' y1='%.1f' y2='%.1f' stroke='#ccc'/>", LEFT, WIDTH - RIGHT, y, y);
        fprintf(out, "<text x='%d' y='%.1f' text-anchor='end'>%.4g</text>\n", LEFT - 6, y + 4,
                p->top * line / 2);
    }
    for (uint32_t i = 0; i < p->count; i++) {
        double bar = height * p->values[i] / p->top;
        fprintf(out, "<rect x='%.2f' y='%.2f' width='%.2f' height='%.2f' fill='%s'/>\n",
                LEFT + step * (i + 0.1), base - bar, step * 0.8, bar, p->colour);
    }
    fprintf(out, "<text x='%d' y='%.1f'>0</text><text x='%d' y='%.1f' text-anchor='end'>%u</text>\n", LEFT,
            base + 14, WIDTH - RIGHT, base + 14, p->count - 1);
}

bool svg_bars(const char *path, const char *heading, const struct svg_panel *panels, unsigned count)
{
    FILE *out = fopen(path, "w");
    if (!out) {
        perror(path);
        return false;
    }
    unsigned height = 40 + count * PANEL_HEIGHT;
    fprintf(out,
            "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%u' font-family='sans-serif' "
            "font-size='12'>\n<rect width='100%%' height='100%%' fill='white'/>\n"
            "<text x='%d' y='22' font-size='15'>%s</text>\n",
            WIDTH, height, LEFT, heading);
    for (unsigned i = 0; i < count; i++)
        panel_draw(out, &panels[i], i);
    fputs("</svg>\n", out);
    return fclose(out) == 0;
}
