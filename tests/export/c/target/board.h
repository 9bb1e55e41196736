/* What main.c asks of a board. */
#ifndef BOARD
#define BOARD

int host_open(const char *name, int writes);
int host_read(int file, void *to, unsigned int bytes); /* how many came */
void host_write(int file, const void *from, unsigned int bytes);
void host_exit(int code);

void count_from_here(void);
unsigned int counted(void); /* ticks since then; of how many instructions, boards.py knows */
void paint_stack(void);
unsigned int deepest(void); /* lowest address that was written since then */

#endif
