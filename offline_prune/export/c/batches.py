"""Many observations in C: one after another, or in blocks, feature by feature."""

from __future__ import annotations

import math
from collections.abc import Sequence

from offline_prune.acting.policy import ActingPolicy
from offline_prune.export.c.network import CNetwork

__all__ = ["block_size", "in_blocks", "one_by_one", "stack_floats"]

_DENSE_LANES = 16
"""Observations of a block of ``policy_act_batch``, feature by feature, so that one weight is
a multiply-add of that many numbers. Dense layers read their weights in strides and need the
cache for these."""

_SPARSE_LANES = 32
"""The same where most multiply-adds are those of sparse layers."""


def block_size(networks: Sequence[CNetwork]) -> int | None:
    """Observations of a block; None where a layer has no form for blocks."""
    if not all(network.has_blocks for network in networks):
        return None
    balance = sum(network.n_sparse - network.n_dense for network in networks)
    return _SPARSE_LANES if balance > 0 else _DENSE_LANES


def stack_floats(policy: ActingPolicy, networks: Sequence[CNetwork], lanes: int | None) -> int:
    """Floats on the stack of a decision, or of a block of decisions; about."""
    size = math.prod(policy.observation_shape)
    inputs = sum(network.n_features for network in networks)
    if any(not network.images for network in networks):
        inputs += size
    images = [network.n_features + network.image_floats for network in networks if network.images]
    linear = max(network.linear_floats for network in networks) * (lanes or 1)
    return size + inputs * (lanes or 1) + max([*images, linear])


def one_by_one(policy: ActingPolicy) -> str:
    """``policy_act_batch`` by calls of ``policy_act``."""
    head, step = _head(policy)
    call = "*actions = policy_act(observations);"
    if not policy.discrete:
        call = "policy_act(observations, actions);"
    return (
        f"{head}    for (; n > 0; n--, observations += POLICY_OBSERVATION_SIZE,"
        f" actions += {step})\n        {call}\n}}\n"
    )


def in_blocks(policy: ActingPolicy, networks: Sequence[CNetwork]) -> str:
    """``policy_act_batch`` in blocks of ``POLICY_LANES``; images only their linear layers."""
    head, step = _head(policy)
    n_outputs = sum(network.n_outputs for network in networks)
    blocks, put, calls, first = {}, [], [], 0
    for network in networks:
        block = "x"
        if network.images:
            block = f"{network.name}_features"
            put += [f"{network.name}_image(row, features);", _put("features", block, network)]
        elif block not in blocks:
            put.append(_put("row", block, None))
        blocks[block] = network.n_features or "POLICY_OBSERVATION_SIZE"
        calls.append(f"{network.name}_lanes({block}, outputs + {first} * POLICY_LANES);")
        first += network.n_outputs
    n_features = max(network.n_features for network in networks)
    features = f", features[{n_features}]" if n_features else ""
    decide = "actions[lane] = decide(one);"
    if not policy.discrete:
        decide = "decide(one, actions + lane * POLICY_ACTION_SIZE);"
    lines = [f"float {block}[{size} * POLICY_LANES];" for block, size in blocks.items()]
    lines += [
        f"float outputs[{n_outputs} * POLICY_LANES];",
        f"float row[POLICY_OBSERVATION_SIZE]{features}, one[{n_outputs}];",
        "int i, lane;",
    ]
    for block, size in blocks.items():
        lines += [f"for (i = 0; i < {size} * POLICY_LANES; i++)", f"    {block}[i] = 0.0f;"]
    lines[-1] += " /* a last block may not be full */"
    lines += [
        "while (n > 0) {",
        "    const int here = n < POLICY_LANES ? n : POLICY_LANES;",
        "    for (lane = 0; lane < here; lane++) {",
        "        scale(observations + lane * POLICY_OBSERVATION_SIZE, row);",
        *(f"        {line}" for lines_ in put for line in lines_.split("\n")),
        "    }",
        *(f"    {call}" for call in calls),
        "    for (lane = 0; lane < here; lane++) {",
        f"        for (i = 0; i < {n_outputs}; i++)",
        "            one[i] = outputs[i * POLICY_LANES + lane];",
        f"        {decide}",
        "    }",
        "    n -= here;",
        "    observations += here * POLICY_OBSERVATION_SIZE;",
        f"    actions += here * {step};",
        "}",
    ]
    body = "\n".join(f"    {line}" for line in lines)
    return f"{head}{body}\n}}\n"


def _head(policy: ActingPolicy) -> tuple[str, str]:
    """How it begins, and from one action to the next."""
    type_, step = ("int", "1") if policy.discrete else ("float", "POLICY_ACTION_SIZE")
    head = f"void policy_act_batch(int n, const float *observations, {type_} *actions)\n{{\n"
    return head, step


def _put(row: str, block: str, network: CNetwork | None) -> str:
    size = network.n_features if network is not None else "POLICY_OBSERVATION_SIZE"
    return f"for (i = 0; i < {size}; i++)\n    {block}[i * POLICY_LANES + lane] = {row}[i];"
