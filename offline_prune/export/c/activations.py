"""Activations as C: of each unit by itself."""

from __future__ import annotations

import numpy as np
from d3rlpy.torch_utility import Swish
from torch import nn

from offline_prune.export.c.network import c_number

__all__ = ["ACTIVATIONS", "activation_call", "activation_loops", "is_unitwise"]

ACTIVATIONS = {
    "relu": "x[i] < 0.0f ? 0.0f : x[i]",
    "tanh": "tangent(x[i])",
    "sigmoid": "0.5f + 0.5f * tangent(0.5f * x[i])",
    "swish": "x[i] * (0.5f + 0.5f * tangent(0.5f * x[i]))",
    "gelu": "0.5f * x[i] * (1.0f + erff(x[i] * 0.70710678f))",
    "elu": "x[i] > 0.0f ? x[i] : slope * expm1f(x[i])",
    "leaky_relu": "x[i] > 0.0f ? x[i] : slope * x[i]",
}
"""Name → the expression; ``slope`` is a parameter of those that have one."""

# Best rational function of these degrees for its relative error, 6e-9 before rounding, found by
# least squares with Lawson's weights; 7.9 is as far as float32 tells it from 1.
_TANGENT = """\
/* tanh within 4e-7, without a branch: compilers compute several at once. */
static float tangent(float x)
{
    const float c = x > 7.9f ? 7.9f : x < -7.9f ? -7.9f : x, s = c * c;
    const float p = (((1.54288168e-8f * s + 2.20238631e-5f) * s + 3.57903005e-3f) * s
                     + 0.134506528f) * s + 0.999999994f;
    const float q = (((8.59912800e-7f * s + 3.42371239e-4f) * s + 2.61923832e-2f) * s
                     + 0.467839808f) * s + 1.0f;
    return c * p / q;
}
"""

_LOOP = """\
static void activate_{name}(float *x, int n{parameter})
{{
    int i;
    for (i = 0; i < n; i++)
        x[i] = {expression};
}}
"""


_ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "swish",
    Swish: "swish",
    nn.GELU: "gelu",
    nn.ELU: "elu",
    nn.LeakyReLU: "leaky_relu",
}


def is_unitwise(layer: nn.Module) -> bool:
    """Whether a layer is an activation, of each unit by itself, that C has."""
    return type(layer) in _ACTIVATIONS and getattr(layer, "approximate", "none") == "none"


def activation_call(layer: nn.Module, where: str, size: int | str) -> str:
    """The call of an activation, in place, of so many numbers."""
    function, slope = f"activate_{_ACTIVATIONS[type(layer)]}", ""
    if isinstance(layer, nn.ELU):
        slope = f", {c_number(np.float32(layer.alpha))}"
    elif isinstance(layer, nn.LeakyReLU):
        slope = f", {c_number(np.float32(layer.negative_slope))}"
    return f"{function}({where}, {size}{slope});"


def activation_loops() -> dict[str, str]:
    """The loop of every activation by its name, and ``tangent``, which some call."""
    loops = {
        f"activate_{name}": _LOOP.format(
            name=name,
            parameter=", float slope" if "slope" in expression else "",
            expression=expression,
        )
        for name, expression in ACTIVATIONS.items()
    }
    return {"tangent": _TANGENT, **loops}
