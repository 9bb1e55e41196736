/* Reset, faults, semihosting and SysTick of a Cortex-M. */
#include "board.h"

#define REGISTER(address) (*(volatile unsigned int *)(address))
#define SYSTICK_CONTROL REGISTER(0xE000E010)
#define SYSTICK_RELOAD REGISTER(0xE000E014)
#define SYSTICK_NOW REGISTER(0xE000E018)
#define COPROCESSORS REGISTER(0xE000ED88)
enum { ON_PROCESSOR_CLOCK = 5, LARGEST = 0xFFFFFF };

extern unsigned int stack_top[];

void start(void);
void reset(void);
void fault(void);
long semihost(long operation, void *arguments);
int *__errno(void);

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    stack_top, (void *)reset, (void *)fault, (void *)fault,
    (void *)fault, (void *)fault, (void *)fault,
};

void reset(void)
{
#ifdef __ARM_FP
    COPROCESSORS |= 0xFU << 20; /* the floating-point unit */
    __asm volatile("dsb\n isb");
#endif
    start();
}

void fault(void)
{
    host_exit(70);
}

__attribute__((noinline)) long semihost(long operation, void *arguments)
{
    register long r0 __asm("r0") = operation;
    register void *r1 __asm("r1") = arguments;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static unsigned int before;

void count_from_here(void)
{
    SYSTICK_RELOAD = LARGEST;
    SYSTICK_CONTROL = ON_PROCESSOR_CLOCK; /* runs on if it runs: what is cut off is random */
    before = SYSTICK_NOW;
}

unsigned int counted(void)
{
    return (before - SYSTICK_NOW) & LARGEST; /* it counts down */
}

/* The math functions of newlib set it where they overflow. */
int *__errno(void)
{
    static int number;
    return &number;
}
