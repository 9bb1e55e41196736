"""The self-test of a C policy: an observation of the data, and the action that it must give."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from offline_prune.acting.policy import ActingPolicy
from offline_prune.export.c.network import c_array, c_number
from offline_prune.export.facts import Facts

__all__ = ["self_test"]


def self_test(policy: ActingPolicy, facts: Facts) -> str:
    """Write ``policy_self_test``, and which program and agent the file is of.

    Args:
        policy: The policy.
        facts: The observation and its action; version and digest.

    Returns:
        C text that calls ``policy_act``.
    """
    observation, stored = _array(facts.observation.ravel())
    before, given = "", "self_test_observation"
    if stored != "float":  # an image: bytes are a quarter of the text and of the program
        before, given = _BYTES, "x"
    arrays = [observation]
    if policy.discrete:
        body = f"return policy_act({given}) == {int(facts.action)} ? 0 : 1;"
        variables = "    int i;\n" if before else ""
    else:
        arrays.append(c_array("self_test_action", torch.from_numpy(_floats(facts.action))))
        body = _COMPARE.format(given=given, most=c_number(np.float32(facts.tolerance * facts.size)))
        variables = "    int i;\n"
    return (
        f'const char policy_version[] = "{facts.version}";\n'
        f'const char policy_hash[] = "{facts.digest}";\n\n'
        f"{''.join(arrays)}\nint policy_self_test(void)\n{{\n{variables}{before}    {body}\n}}\n"
    )


_BYTES = """\
    float x[POLICY_OBSERVATION_SIZE];
    for (i = 0; i < POLICY_OBSERVATION_SIZE; i++)
        x[i] = (float)self_test_observation[i];
"""

_COMPARE = """\
{{
        float action[POLICY_ACTION_SIZE];
        policy_act({given}, action);
        for (i = 0; i < POLICY_ACTION_SIZE; i++) {{
            const float apart = action[i] - self_test_action[i];
            if (!(apart >= -{most} && apart <= {most})) /* no number is wrong as well */
                return i + 1;
        }}
    }}
    return 0;"""


def _array(observation: NDArray[np.float32]) -> tuple[str, str]:
    """Its definition, and its type."""
    name = "self_test_observation"
    whole = observation.astype(np.uint8) if _are_bytes(observation) else None
    if whole is None or len(observation) < 1024:
        return c_array(name, torch.from_numpy(_floats(observation))), "float"
    return c_array(name, whole.astype(np.int64), "unsigned char"), "unsigned char"


def _are_bytes(values: NDArray[np.float32]) -> bool:
    return bool(((values >= 0) & (values <= 255) & (values == np.rint(values))).all())


def _floats(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, dtype=np.float32)
