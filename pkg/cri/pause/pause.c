/*
 * The program of a pod's sandbox container: it holds the pod's namespaces and reaps orphans until it is told
 * to end. It is linked without a C library, so its image is a few KiB. All signals are blocked and fetched
 * one by one; a blocked signal reaches even the first process of a PID namespace.
 */
#include <asm/unistd.h>

enum { SIGNAL_INT = 2, SIGNAL_TERM = 15, SIG_BLOCK_MODE = 0, WAIT_NOHANG = 1 };

static long call4(long number, long a, long b, long c, long d)
{
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
#else
#error "the pause program knows the system calls of x86_64 and aarch64"
#endif
}

void _start(void);
void _start(void)
{
    unsigned long all = ~0ul;
    call4(__NR_rt_sigprocmask, SIG_BLOCK_MODE, (long)&all, 0, sizeof(all));
    for (;;) {
        long number = call4(__NR_rt_sigtimedwait, (long)&all, 0, 0, sizeof(all));
        if (number == SIGNAL_INT || number == SIGNAL_TERM)
            call4(__NR_exit_group, 0, 0, 0, 0);
        while (call4(__NR_wait4, -1, 0, WAIT_NOHANG, 0) > 0)
            ;
    }
}
