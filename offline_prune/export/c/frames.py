"""``policy_reset`` and ``policy_step``: a C policy on stacked frames, given one at a time."""

from __future__ import annotations

from offline_prune.acting.policy import ActingPolicy

__all__ = ["frames"]


def frames(policy: ActingPolicy) -> str:
    """Write the two; a frame goes behind those before it, the oldest leaves.

    Args:
        policy: A policy whose observations are stacks along their first axis.

    Returns:
        C text that calls ``policy_act``.
    """
    head = "void policy_step(policy_stack *stack, const float *frame, float *action)"
    act = "policy_act(stack->frames, action);"
    if policy.discrete:
        head = "int policy_step(policy_stack *stack, const float *frame)"
        act = "return policy_act(stack->frames);"
    return _TEXT.format(head=head, act=act)


_TEXT = """\
void policy_reset(policy_stack *stack)
{{
    int i;
    for (i = 0; i < POLICY_OBSERVATION_SIZE; i++)
        stack->frames[i] = 0.0f;
}}

{head}
{{
    const int others = POLICY_OBSERVATION_SIZE - POLICY_FRAME_SIZE;
    int i;
    for (i = 0; i < others; i++)
        stack->frames[i] = stack->frames[i + POLICY_FRAME_SIZE];
    for (i = 0; i < POLICY_FRAME_SIZE; i++)
        stack->frames[others + i] = frame[i];
    {act}
}}
"""
