"""Many observations in C: one after another, or in blocks, feature by feature."""

from __future__ import annotations

import math
from collections.abc import Sequence

from offline_prune.acting.policy import ActingPolicy
from offline_prune.acting.rules import TanhRule
from offline_prune.export.c.network import CNetwork

__all__ = ["block_size", "in_blocks", "one_by_one", "stack_floats"]

_LANES = (64, 32)
"""Observations of a block of ``policy_act_batch``, feature by feature, so that one weight is
a multiply-add of that many numbers; as many as the stack has room for."""

_DENSE_LANES = 16
"""The same where most multiply-adds are those of dense layers of floats, which read their weights
in strides and need the cache for these."""

_STACK = 256 * 1024
"""Bytes that a block of 64 may take of the stack."""

_LONG = 256
"""Inputs of a dense layer of integers from which on its rows are long enough: compilers have
instructions for a product of two rows (pmaddwd, smlal), not for one of a weight and lanes."""


def block_size(policy: ActingPolicy, networks: Sequence[CNetwork]) -> int | None:
    """Observations of a block; None where one after another is faster, or there are images.

    What an image costs is its convolutions, which have positions to compute at once.
    """
    if not all(network.has_blocks for network in networks):
        return None
    if all(network.n_sparse == 0 and _has_long_rows(network) for network in networks):
        return None
    balance = sum(network.n_sparse - network.n_dense for network in networks)
    if balance <= 0 and networks[0].form.stored == "float":
        return _DENSE_LANES
    long, short = _LANES
    return long if 4 * stack_floats(policy, networks, long) <= _STACK else short


def _has_long_rows(network: CNetwork) -> bool:
    """Whether a layer of integers reads many inputs."""
    return network.integer_buffers.get("units", ("", 0))[1] >= _LONG


def stack_floats(policy: ActingPolicy, networks: Sequence[CNetwork], lanes: int | None) -> int:
    """Floats on the stack of a decision, or of a block of decisions; about."""
    size = math.prod(policy.observation_shape)
    return (size + max(network.n_floats for network in networks)) * (lanes or 1)


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
    """``policy_act_batch`` in blocks of ``POLICY_LANES``."""
    head, step = _head(policy)
    n_outputs, calls, first = sum(network.n_outputs for network in networks), "", 0
    for network in networks:
        calls += f"        {network.name}_lanes(x, outputs + {first} * POLICY_LANES);\n"
        first += network.n_outputs
    squash = f"        squash(outputs, {n_outputs} * POLICY_LANES);\n"
    if not isinstance(policy.rule, TanhRule):
        squash = ""
    decide = "actions[lane] = decide(one);"
    if not policy.discrete:
        decide = "decide(one, actions + lane * POLICY_ACTION_SIZE);"
    return f"""{head}    float x[POLICY_OBSERVATION_SIZE * POLICY_LANES];
    float outputs[{n_outputs} * POLICY_LANES];
    float row[POLICY_OBSERVATION_SIZE], one[{n_outputs}];
    int i, lane;
    for (i = 0; i < POLICY_OBSERVATION_SIZE * POLICY_LANES; i++)
        x[i] = 0.0f; /* a last block may not be full */
    while (n > 0) {{
        const int here = n < POLICY_LANES ? n : POLICY_LANES;
        for (lane = 0; lane < here; lane++) {{
            scale(observations + lane * POLICY_OBSERVATION_SIZE, row);
            for (i = 0; i < POLICY_OBSERVATION_SIZE; i++)
                x[i * POLICY_LANES + lane] = row[i];
        }}
{calls}{squash}        for (lane = 0; lane < here; lane++) {{
            for (i = 0; i < {n_outputs}; i++)
                one[i] = outputs[i * POLICY_LANES + lane];
            {decide}
        }}
        n -= here;
        observations += here * POLICY_OBSERVATION_SIZE;
        actions += here * {step};
    }}
}}
"""


def _head(policy: ActingPolicy) -> tuple[str, str]:
    """How it begins, and from one action to the next."""
    type_, step = ("int", "1") if policy.discrete else ("float", "POLICY_ACTION_SIZE")
    head = f"void policy_act_batch(int n, const float *observations, {type_} *actions)\n{{\n"
    return head, step
