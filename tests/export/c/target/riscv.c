/* Reset, faults, semihosting and the instruction counter of a 32-bit RISC-V. */
#include "board.h"

void start(void);
void reset(void);
long semihost(long operation, void *arguments);

static unsigned int before;

/* Of the one thread; picolibc's math functions set it where they overflow. */
static __attribute__((used)) int errno_place[4];

static __attribute__((aligned(4), used)) void fault(void)
{
    host_exit(70);
}

__attribute__((naked, section(".vectors"), used)) void reset(void)
{
    __asm volatile(".option push\n .option norelax\n .option arch, +zicsr\n"
                   "la gp, __global_pointer$\n la sp, stack_top\n"
                   "la tp, errno_place\n la t0, fault\n"
                   "csrw mtvec, t0\n .option pop\n j start");
}

__attribute__((naked, noinline, aligned(16))) long semihost(long operation, void *arguments)
{
    (void)operation;
    (void)arguments;
    __asm volatile(".option push\n .option norvc\n"
                   "slli x0, x0, 0x1f\n ebreak\n srai x0, x0, 7\n ret\n .option pop");
}

static unsigned int instructions(void)
{
    unsigned int n;
    __asm volatile(".option push\n .option arch, +zicsr\n"
                   "csrr %0, minstret\n .option pop" : "=r"(n));
    return n;
}

void count_from_here(void)
{
    before = instructions();
}

unsigned int counted(void)
{
    return instructions() - before;
}
