"""C99: one file without dependencies, compiled and called to check it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from offline_prune.acting.policy import ActingPolicy
from offline_prune.acting.rules import ConstrainedArgmaxRule, Rescale, TanhRule
from offline_prune.export.agreement import TOLERANCES
from offline_prune.export.c.batches import block_size, in_blocks, one_by_one, stack_floats
from offline_prune.export.c.forms import FORMS
from offline_prune.export.c.frames import frames
from offline_prune.export.c.functions import functions
from offline_prune.export.c.integer_network import integer_network
from offline_prune.export.c.interface import as_comment, interface
from offline_prune.export.c.layers import SPARSE_BELOW, c_network
from offline_prune.export.c.library import open_c
from offline_prune.export.c.network import CNetwork, c_array, c_number
from offline_prune.export.c.self_test import self_test
from offline_prune.export.c.slices import SLICE
from offline_prune.export.facts import Facts
from offline_prune.export.written import ExportFormat, Writing

__all__ = ["C99", "c_source", "write_source"]


def c_source(
    policy: ActingPolicy,
    about: Mapping[str, str],
    dtype: str = "float32",
    observations: NDArray[Any] | None = None,
    facts: Facts | None = None,
    name: str = "policy",
) -> str:
    """Write a policy as C99.

    ``policy_act`` takes one observation, ``policy_act_batch`` any number. A linear layer
    is sparse (:class:`~offline_prune.export.c.slices.Slices`) where at most
    :data:`~offline_prune.export.c.layers.SPARSE_BELOW` of its weights are left, else
    dense; hidden units are numbered anew; convolutions are dense
    (:mod:`~offline_prune.export.c.channels_last`) or hold kept weights only
    (:mod:`~offline_prune.export.c.channels_first`), whichever is faster; residual
    encoders become their steps. The same policy gives the same bytes.

    Args:
        policy: The policy.
        about: Label → words of the comment at the top.
        dtype: Of the weights, one of
            :data:`~offline_prune.export.c.forms.FORMS`.
        observations: (N, *observation shape) to calibrate integers on.
        facts: What is known of the policy, for comments, ``policy_self_test`` and ``policy_hash``;
            None leaves these out. ``policy_reset`` and ``policy_step`` are there where frames
            are stacked.
        name: What takes the place of ``policy`` in the functions' names, and in macros.

    Returns:
        The text; only ``<math.h>`` is included, and ``<stdint.h>`` for other weights than floats.

    Raises:
        UnsupportedExportError: If C has no form of one of its layers, or a number is not
            finite.
    """
    shape = policy.network_shape
    networks = [
        _c_network(f"network_{i}", policy, network, dtype, observations)
        for i, network in enumerate(policy.networks)
    ]
    lanes = block_size(policy, networks)
    bodies = [body for network in networks for body in _bodies(network, in_lanes=lanes is not None)]
    calls = [call for network in networks for call in (*network.images, *network.calls)]
    if lanes is not None:
        calls += [call for network in networks for call in network.lanes]
    squash = _squash(policy)
    calls += ["tangent"] if squash else []
    body = [
        *([] if lanes is None else [f"#define POLICY_LANES {lanes}\n"]),
        *(array for network in networks for array in network.arrays),
        *functions(call.partition("(")[0] for call in calls),
        *bodies,
        *([_CLIP] if _clips(policy) else []),
        *_elementwise(
            "scale(const float *observation, float *x)",
            math.prod(shape),
            "x",
            _observed(policy),
            policy.observation_scale,
            "observation",
        ),
        *squash,
        *_decide(policy, networks),
        _act(policy, networks),
        one_by_one(policy) if lanes is None else in_blocks(policy, networks),
        *([] if facts is None else [self_test(policy, facts)]),
        *([] if facts is None or facts.frame_stack == 1 else [frames(policy)]),
        "#endif /* OFFLINE_PRUNE_POLICY */\n",
    ]
    parts = [
        _comment(policy, about, networks, lanes, name),
        _renamed(_includes(dtype), name),
        interface(policy, facts, name),
        *(_renamed(text, name) for text in body),
    ]
    return "\n".join(parts)


def _renamed(text: str, name: str) -> str:
    if name == "policy":
        return text
    text = re.sub(r"\bpolicy_", f"{name}_", text)
    return re.sub(r"\b(OFFLINE_PRUNE_)?POLICY(?=_|\b)", rf"\1{name.upper()}", text)


def _c_network(
    name: str,
    policy: ActingPolicy,
    network: nn.Module,
    dtype: str,
    observations: NDArray[Any] | None,
) -> CNetwork:
    if dtype != "int8":
        return c_network(name, network, policy.network_shape, FORMS[dtype])
    assert observations is not None
    with torch.no_grad():
        inputs = policy.scaled(torch.from_numpy(np.asarray(observations, dtype=np.float32)))
    return integer_network(name, network, inputs)


def write_source(policy: ActingPolicy, path: Path, writing: Writing) -> None:
    """Write :func:`c_source` as a file.

    What a file with other weights than floats must do in its self-test is what it does here; the
    agent's own action, with all that such weights may cost, where there is no compiler.
    """
    text = _text(policy, writing)
    facts = writing.facts
    if writing.dtype != "float32" and facts is not None:
        path.write_text(text, encoding="ascii")
        runs = open_c(path, policy, writing.name, checks_itself=False)
        if runs:
            facts = replace(facts, action=runs[0](facts.observation[None])[0])
        else:
            facts = replace(facts, tolerance=TOLERANCES[writing.dtype])
        text = _text(policy, replace(writing, facts=facts))
    path.write_text(text, encoding="ascii")


def _text(policy: ActingPolicy, writing: Writing) -> str:
    return c_source(
        policy, writing.about, writing.dtype, writing.calibration, writing.facts, writing.name
    )


def _comment(
    policy: ActingPolicy,
    about: Mapping[str, str],
    networks: list[CNetwork],
    lanes: int | None,
    name: str,
) -> str:
    shape = " x ".join(map(str, policy.observation_shape))
    batch = "one observation after another"
    if lanes is not None:
        batch = f"blocks of {lanes} observations, feature by feature"
    lines = [
        "The acting policy of an agent, written by offline_prune.",
        "",
        *(f"{label}: {text}" for label, text in about.items()),
        f"observation: {shape} floats, row-major, as the environment gives them (not scaled)",
        f"storage: linear layers sparse up to a density of {SPARSE_BELOW}, convolutions if faster",
        f"numbers: {networks[0].form.line}",
        f"batches: {batch}",
        f"stack: about {4 * stack_floats(policy, networks, lanes) / 1024:.0f} KiB"
        " at most; no heap, no state, safe in threads",
        f"compile: cc -std=c99 -O3 -march=native -c {name}.c, link with -lm; or include the file",
    ]
    return f"{as_comment(lines)}\n"


def _includes(dtype: str) -> str:
    integers = "" if dtype == "float32" else "\n#include <stdint.h>"
    return f"""\
#ifndef OFFLINE_PRUNE_POLICY
#define OFFLINE_PRUNE_POLICY

#include <math.h>{integers}
"""


def _bodies(network: CNetwork, *, in_lanes: bool) -> list[str]:
    """Its functions: of an image to features, of these or a vector to outputs, of blocks."""
    found, calls = [], network.calls
    buffers = [("float", name, str(size)) for name, size in network.image_buffers.items()]
    if network.images:
        ab = [("float", name, str(network.image_size)) for name in "ab"]
        found.append(_function(f"{network.name}_image", network.images, [*ab, *buffers]))
    linear = [
        *(("float", name, str(network.buffer_size)) for name in "ab"),
        *((type_, name, str(size)) for name, (type_, size) in network.integer_buffers.items()),
    ]
    found.append(
        _function(f"{network.name}_linear" if network.images else network.name, calls, linear)
    )
    if network.images:
        whole = [f"{network.name}_image(x, features);", f"{network.name}_linear(features, y);"]
        features = [("float", "features", str(network.n_features))]
        found.append(_function(network.name, whole, features))
    if in_lanes:
        # Integers of a block have 32 bits.
        blocks = [
            (
                "int32_t" if name in network.integer_buffers else type_,
                name,
                f"{size} * POLICY_LANES",
            )
            for type_, name, size in linear
        ]
        found.append(_function(f"{network.name}_lanes", network.lanes, blocks))
    return found


def _function(name: str, calls: list[str], buffers: list[tuple[str, str, str]]) -> str:
    """A function of those buffers that its calls name."""
    text = "\n".join(calls)
    lines = [f"static void {name}(const float *x, float *y)", "{"]
    used = [buffer for buffer in buffers if re.search(rf"\b{buffer[1]}\b", text)]
    for type_ in dict.fromkeys(type_ for type_, _, _ in used):
        names = ", ".join(f"{name}[{size}]" for other, name, size in used if other == type_)
        lines.append(f"    {type_} {names};")
    lines += [f"    {call}" for call in calls]
    return "\n".join([*lines, "}", ""])


def _elementwise(
    function: str, size: int | str, target: str, x: str, rescale: Rescale | None, prefix: str
) -> list[str]:
    """A function that rescales ``x`` at every index i, after the arrays that it reads."""
    arrays = []

    def values(letter: str, found: Tensor) -> str:
        flat = found.flatten()
        if bool((flat == flat[0]).all()):
            return c_number(flat.numpy()[0])
        name = f"{prefix}_{letter}"
        arrays.append(c_array(name, flat))
        return f"{name}[i]"

    def term(sign: str, found: Tensor, neutral: float) -> str:
        if bool((found == neutral).all()):
            return ""
        number = values("abcd"["-/*+".index(sign)], found)
        return f" {sign} ({number})" if number.startswith("-") else f" {sign} {number}"

    if rescale is not None:
        x = f"({x}{term('-', rescale.a, 0.0)}){term('/', rescale.b, 1.0)}"
        x += term("*", rescale.c, 1.0) + term("+", rescale.d, 0.0)
        if rescale.low is not None and rescale.high is not None:
            x = f"clip({x}, {values('low', rescale.low)}, {values('high', rescale.high)})"
    return [
        *arrays,
        f"static void {function}\n{{\n    int i;\n"
        f"    for (i = 0; i < {size}; i++)\n        {target}[i] = {x};\n}}\n",
    ]


def _observed(policy: ActingPolicy) -> str:
    """Number i of an observation as the networks read it."""
    if not policy.channels_last:
        return "observation[i]"
    *image, channels = policy.observation_shape
    return f"observation[i % {math.prod(image)} * {channels} + i / {math.prod(image)}]"


def _clips(policy: ActingPolicy) -> bool:
    scales = (policy.observation_scale, policy.action_scale)
    return getattr(policy.rule, "limit", None) is not None or any(
        scale is not None and scale.low is not None for scale in scales
    )


_CLIP = """\
static float clip(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x;
}
"""


def _squash(policy: ActingPolicy) -> list[str]:
    """A function of all outputs, of one observation or a block; none where they stay."""
    if not isinstance(policy.rule, TanhRule):
        return []
    x = "outputs[i]"
    if (limit := policy.rule.limit) is not None:
        x = f"clip({x}, {c_number(np.float32(-limit))}, {c_number(np.float32(limit))})"
    return _elementwise("squash(float *outputs, int n)", "n", "outputs", f"tangent({x})", None, "")


def _decide(policy: ActingPolicy, networks: list[CNetwork]) -> list[str]:
    if not policy.discrete:
        head = "decide(const float *outputs, float *action)"
        scale = policy.action_scale
        return _elementwise(head, "POLICY_ACTION_SIZE", "action", "outputs[i]", scale, "action")
    rule, unlikely = policy.rule, ""
    critics = list(range(sum(network.n_outputs for network in networks) // policy.action_size))
    if isinstance(rule, ConstrainedArgmaxRule):
        critics.remove(rule.imitator)
        threshold = c_number(np.float32(rule.threshold))
        unlikely = _UNLIKELY.format(imitator=rule.imitator, threshold=threshold)
    terms = " + ".join(f"outputs[{g} * POLICY_ACTION_SIZE + i]" for g in critics)
    mean = f"({terms}) / {c_number(np.float32(len(critics)))}" if len(critics) > 1 else terms
    return [
        f"""\
static int decide(const float *outputs)
{{
    int i, best = 0;
    float scores[POLICY_ACTION_SIZE];
    for (i = 0; i < POLICY_ACTION_SIZE; i++)
        scores[i] = {mean};
{unlikely}    for (i = 1; i < POLICY_ACTION_SIZE; i++)
        if (scores[i] > scores[best])
            best = i;
    return best;
}}
"""
    ]


_UNLIKELY = """\
    {{ /* actions that the imitator finds unlikely score 0 */
        const float *logits = outputs + {imitator} * POLICY_ACTION_SIZE;
        float least = scores[0], likeliest = logits[0];
        for (i = 1; i < POLICY_ACTION_SIZE; i++) {{
            if (scores[i] < least) least = scores[i];
            if (logits[i] > likeliest) likeliest = logits[i];
        }}
        for (i = 0; i < POLICY_ACTION_SIZE; i++)
            scores[i] = logits[i] - likeliest > {threshold} ? scores[i] - least + 1e-5f : 0.0f;
    }}
"""


def _network_calls(networks: list[CNetwork], suffix: str, times: str) -> list[str]:
    calls, first = [], 0
    for network in networks:
        calls.append(f"{network.name}{suffix}(x, outputs + {first}{times});")
        first += network.n_outputs
    return calls


def _act(policy: ActingPolicy, networks: list[CNetwork]) -> str:
    # Sparse loops write whole slices; the next network's outputs go over what is beyond.
    n_outputs = sum(network.n_outputs for network in networks)
    head = "void policy_act(const float *observation, float *action)"
    end = "decide(outputs, action)"
    if policy.discrete:
        head, end = "int policy_act(const float *observation)", "return decide(outputs)"
    lines = _network_calls(networks, "", "")
    if isinstance(policy.rule, TanhRule):
        lines.append(f"squash(outputs, {n_outputs});")
    calls = "\n".join(f"    {line}" for line in lines)
    return f"""\
{head}
{{
    float x[POLICY_OBSERVATION_SIZE], outputs[{n_outputs + SLICE - 1}];
    scale(observation, x);
{calls}
    {end};
}}
"""


C99 = ExportFormat("C99", write_source, open_c, dtypes=tuple(FORMS))
