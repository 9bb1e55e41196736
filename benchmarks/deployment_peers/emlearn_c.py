"""emlearn: C of a network of linear layers, in floats.

Its fixed-point networks are left out: in emlearn 0.23.2 the sums of ``eml_net_fixedpoint.h`` are
commented out ("FIXME: implement"), so that they compute nothing.
"""

from __future__ import annotations

import re
from pathlib import Path

from torch import nn

from deployment_peers.subject import CSource, Subject
from offline_prune.export.c.network import c_array

__all__ = ["EMLEARN"]


def _write(subject: Subject, dtype: str, folder: Path) -> None:
    import emlearn
    from emlearn.net import c_generate_net_loadable

    assert dtype == "float32"
    policy = subject.policy
    layers = [m for m in policy.networks[0].modules() if isinstance(m, nn.Linear)]
    text = c_generate_net_loadable(
        ["relu"] * (len(layers) - 1) + ["tanh"],
        [layer.weight.numpy().T for layer in layers],
        [layer.bias.numpy() for layer in layers],
        prefix="net",
    )
    for header in Path(emlearn.__file__).parent.glob("*.h"):
        (folder / header.name).write_text(_in_quotes(header.read_text()))
    scale = policy.observation_scale
    assert scale is not None
    assert policy.action_scale is None
    (folder / "one.c").write_text(
        _in_quotes(text)
        + c_array("scale_a", scale.a)
        + c_array("scale_b", scale.b)
        + _ACT.format(size=policy.observation_shape[0], actions=policy.action_size)
    )
    (folder / "policy.c").write_text(_BATCH)


def _in_quotes(text: str) -> str:
    """Its headers lie beside the file."""
    return re.sub(r"<(eml_\w+\.h)>", r'"\1"', text)


_ACT = """
#define POLICY_OBSERVATION_SIZE {size}
#define POLICY_ACTION_SIZE {actions}
void policy_act(const float *x, float *a)
{{
    float scaled[POLICY_OBSERVATION_SIZE];
    int i;
    for (i = 0; i < POLICY_OBSERVATION_SIZE; i++)
        scaled[i] = (x[i] - scale_a[i]) / scale_b[i];
    net_regress(scaled, POLICY_OBSERVATION_SIZE, a, POLICY_ACTION_SIZE);
}}
"""

_BATCH = """\
#include "one.c"
void policy_act_batch(int n, const float *x, float *a)
{
    for (; n > 0; n--, x += POLICY_OBSERVATION_SIZE, a += POLICY_ACTION_SIZE)
        policy_act(x, a);
}
"""

EMLEARN = CSource("emlearn", "emlearn", ("float32",), _write)
