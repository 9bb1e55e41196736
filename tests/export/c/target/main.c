/* Observations of the host in, actions out; then what a decision took. */
#include POLICY
#include "board.h"

#ifdef DISCRETE
typedef int action_type;
#define N_ACTIONS 1
#define ACT(x, a) (*(a) = policy_act(x))
#else
typedef float action_type;
#define N_ACTIONS POLICY_ACTION_SIZE
#define ACT(x, a) policy_act(x, a)
#endif

static float observation[POLICY_OBSERVATION_SIZE];
static action_type action[N_ACTIONS];
static unsigned int stack;

/* Ticks of one decision. */
static __attribute__((noinline)) unsigned int decide_once(void)
{
    unsigned int ticks, used;
    paint_stack();
    count_from_here();
    ACT(observation, action);
    ticks = counted();
    used = (unsigned int)(unsigned long)__builtin_frame_address(0) - deepest();
    if (used > stack)
        stack = used;
    return ticks;
}

int main(void)
{
    const int observations = host_open("observations.bin", 0);
    const int actions = host_open("actions.bin", 1), cost = host_open("cost.bin", 1);
    while (host_read(observations, observation, sizeof observation) == (int)sizeof observation) {
        const unsigned int ticks = decide_once();
        host_write(actions, action, sizeof action);
        host_write(cost, &ticks, sizeof ticks);
    }
    host_write(cost, &stack, sizeof stack);
    return 0;
}
