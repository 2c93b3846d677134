/* The clocks of the host. An edge facility: the core takes the time as an argument. */
#ifndef KATENA_BASE_CLOCK_H
#define KATENA_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_wall_us(void); /* microseconds since 1970, may jump */
int64_t clock_mono_us(void); /* microseconds, never runs backwards; for timeouts and durations */

#endif
