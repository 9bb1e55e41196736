"""What a caller of a C policy reads: sizes, order of the numbers, bounds, and the functions."""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from offline_prune.acting.policy import ActingPolicy
from offline_prune.acting.rules import Rescale
from offline_prune.export.c.network import c_number
from offline_prune.export.facts import Facts, action_bounds

__all__ = ["as_comment", "interface"]


def interface(policy: ActingPolicy, facts: Facts | None, name: str = "policy") -> str:
    """Declarations of a policy, the same in its file and in a header.

    Args:
        policy: The policy.
        facts: What is known of it; None leaves out what says it.
        name: What functions begin with, and macros in capitals.

    Returns:
        C text that may be read any number of times.
    """
    macro, act = name.upper(), f"void {name}_act(const float *observation, float *action);"
    type_ = "int" if policy.discrete else "float"
    if policy.discrete:
        act = f"int {name}_act(const float *observation);"
        act = f"/* The number of the action, 0 to {policy.action_size - 1}. */\n{act}"
    size = math.prod(policy.observation_shape)
    parts = [
        f"#ifndef {macro}_INTERFACE\n#define {macro}_INTERFACE\n",
        *([] if facts is None else [as_comment(_observation(policy, facts))]),
        f"#define {macro}_OBSERVATION_SIZE {size}",
        *([] if facts is None else ["", as_comment(_action(policy, facts))]),
        f"#define {macro}_ACTION_SIZE {policy.action_size}",
    ]
    bounds = action_bounds(policy)
    if facts is not None and bounds is not None:
        for end, values in zip(("LOW", "HIGH"), bounds, strict=True):
            parts.append(f"#define {macro}_ACTION_{end} {{{', '.join(map(c_number, values))}}}")
    parts += [
        f"\n{act}\nvoid {name}_act_batch(int n, const float *observations, {type_} *actions);"
    ]
    if facts is not None:
        parts.append(_SELF_TEST.format(name=name))
        if facts.frame_stack > 1:
            head, action = f"void {name}_step", ", float *action"
            if policy.discrete:
                head, action = f"int {name}_step", ""
            parts.append(
                _STEP.format(
                    name=name, macro=macro, frames=facts.frame_stack, head=head, action=action
                )
            )
    return "\n".join([*parts, f"\n#endif /* {macro}_INTERFACE */\n"])


def as_comment(lines: list[str]) -> str:
    """Lines as a comment of C, whatever their words are; ASCII."""
    said = (re.sub(r"[^ -~]|\*/|/\*", "?", line) for line in lines)
    body = "\n".join(f" * {line}".rstrip() for line in said)
    return f"/*\n{body}\n */"


_SELF_TEST = """\

/* Call it once at start-up: 0 where this build acts as the agent did on an observation of its
   data, else one more than the number of the first entry of the action that is wrong. */
int {name}_self_test(void);

/* The program that wrote this file; SHA-256 of the agent inside, the same in every format. */
extern const char {name}_version[];
extern const char {name}_hash[];"""

_STEP = """\

/* The last {frames} frames. One for every episode that runs; reset it where one begins. */
#define {macro}_FRAMES {frames}
#define {macro}_FRAME_SIZE ({macro}_OBSERVATION_SIZE / {macro}_FRAMES)
typedef struct {{
    float frames[{macro}_OBSERVATION_SIZE];
}} {name}_stack;
void {name}_reset({name}_stack *stack);
/* Take in one frame, and act on the stack. */
{head}({name}_stack *stack, const float *frame{action});"""


def _observation(policy: ActingPolicy, facts: Facts) -> list[str]:
    shape, stack = policy.observation_shape, facts.frame_stack
    size = math.prod(shape)
    lines = [f"Observation: {size} floats, as the environment gives them, not scaled."]
    if stack > 1:
        lines.append(f"They are {stack} frames, the newest last; zeros before an episode's first.")
    if len(shape) > 1:
        axes = (
            ("row", "column", "channel") if policy.channels_last else ("channel", "row", "column")
        )
        order = ", ".join(f"{axis} ({n})" for axis, n in zip(axes, shape, strict=False))
        lines.append(f"In order of {order}; the last varies first.")
        least, most = float(facts.low.min()), float(facts.high.max())
        lines.append(f"In the data from {least:.6g} to {most:.6g}{_all_alike(policy)}.")
        return lines
    frame = size // stack
    words = facts.observation_words if len(facts.observation_words) == frame else ()
    lines.append("Number, range in the data, and how the file scales it where it does:")
    for i in range(size - frame, size):  # the newest frame
        word = f", {words[i - size + frame]}" if words else ""
        lines.append(
            f"{i - size + frame:4}: {facts.low[i]:.4g} to {facts.high[i]:.4g}"
            f"{_scaled(policy.observation_scale, i)}{word}"
        )
    return lines


def _action(policy: ActingPolicy, facts: Facts) -> list[str]:
    known = facts.action_words if len(facts.action_words) == policy.action_size else ()
    if policy.discrete:
        lines = [f"Action: one of {policy.action_size}, counted from 0."]
        return lines + [f"{i:4}: {word}" for i, word in enumerate(known)]
    bounds = action_bounds(policy)
    lines = [f"Action: {policy.action_size} floats, as the environment takes them."]
    if bounds is None:
        lines[0] += " They have no bounds."
    for i in range(policy.action_size):
        within = [] if bounds is None else [f"{bounds[0][i]:.6g} to {bounds[1][i]:.6g}"]
        lines.append(f"{i:4}: {', '.join([*within, *known[i : i + 1]])}")
    return lines


def _all_alike(policy: ActingPolicy) -> str:
    """How an image is scaled, where all of its numbers are scaled alike."""
    scale = policy.observation_scale
    if scale is None:
        return ""
    if any(getattr(scale, letter).numel() > 1 for letter in "abcd"):
        return ", scaled by the file number by number"
    return _scaled(scale, 0)


def _scaled(scale: Rescale | None, i: int) -> str:
    """``", (x - 0.5) / 2"``: what the file makes of a number x; empty where it stays."""
    if scale is None:
        return ""
    a, b, c, d = (_at(getattr(scale, letter), i) for letter in "abcd")
    text = "x" if a == 0 else f"(x - {a:.6g})" if a > 0 else f"(x + {-a:.6g})"
    text += "" if b == 1 else f" / {b:.6g}"
    text += "" if c == 1 else f" * {c:.6g}"
    text += "" if d == 0 else f" {'+' if d > 0 else '-'} {abs(d):.6g}"
    if scale.low is not None and scale.high is not None:
        text += f" within {_at(scale.low, i):.6g} to {_at(scale.high, i):.6g}"
    return f", {text}"


def _at(values: Tensor, i: int) -> float:
    flat: NDArray[np.float32] = values.flatten().numpy()
    return float(flat[i if len(flat) > 1 else 0])
