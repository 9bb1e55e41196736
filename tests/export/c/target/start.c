/* Memory as C expects it, then main. */
#include "board.h"

extern unsigned int data_load[], data_start[], data_end[], bss_end[];

int main(void);
void start(void);

void start(void)
{
    const unsigned int *from = data_load;
    volatile unsigned int *to = data_start;
    while (to < data_end)
        *to++ = *from++;
    while (to < bss_end)
        *to++ = 0;
    host_exit(main());
}
