"""The loops of an exported C policy; only those that it calls are written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from offline_prune.export.c.activations import activation_loops
from offline_prune.export.c.channels_first import channels_first_loops
from offline_prune.export.c.channels_last import channels_last_loops
from offline_prune.export.c.forms import FORMS, INDEX_TYPES, SMALL_LOOPS, Form
from offline_prune.export.c.lanes import lane_loops
from offline_prune.export.c.slices import SLICE

__all__ = ["functions"]

_DENSE = """\
/* y = W x + b. The weights of one input lie side by side: the inner loops run over outputs. */
static void dense(const float *restrict weights, const float *restrict bias, int n_inputs,
                  int n_outputs, const float *restrict x, float *restrict y)
{
    int i, j;
    for (i = 0; i < n_outputs; i++)
        y[i] = bias[i];
    for (j = 0; j < n_inputs % 4; j++)
        for (i = 0; i < n_outputs; i++)
            y[i] += weights[j * n_outputs + i] * x[j];
    for (; j < n_inputs; j += 4) {
        const float *w = weights + j * n_outputs;
        const float x0 = x[j], x1 = x[j + 1], x2 = x[j + 2], x3 = x[j + 3];
        for (i = 0; i < n_outputs; i++)
            y[i] += (w[i] * x0 + w[n_outputs + i] * x1)
                  + (w[2 * n_outputs + i] * x2 + w[3 * n_outputs + i] * x3);
    }
}
"""

_SPARSE = """\
/* y = W x + b on kept weights only, {slice} outputs at a time: lengths[s] places, a weight of each
   output at every place, 0 where it has no more. Writes whole slices, beyond the last output. */
static void sparse_{bits}{form}(const {stored} *restrict values, const {type} *restrict columns,
                      const unsigned int *restrict lengths, const {sum} *restrict bias,
                      int n_outputs, const {read} *restrict x, {sum} *restrict y)
{{
    int i;
    for (i = 0; i < n_outputs; i += {slice}) {{
{start}
        unsigned int n = *lengths++;
        for (; n > 0; n--, values += {slice}, columns += {slice}) {{
{add}
        }}
{end}
    }}
}}
"""


def functions(names: Iterable[str]) -> list[str]:
    """Definitions of functions.

    Args:
        names: ``"dense"``, ``"sparse_8"``, … (bits of an index), with ``"_lanes"`` too, or
            an activation or a loop over images.

    Returns:
        C text, one a distinct name, in a fixed order, each after what it calls.
    """
    wanted = set(names)
    for name in list(wanted):
        wanted.update(*(others for start, others in _CALLS.items() if name.startswith(start)))
    wanted.update(name.replace("_pooled", "") for name in list(wanted))
    if any("_half" in name for name in wanted):
        wanted.add("half")
    return [text for name, text in _loops().items() if name in wanted]


_CALLS = {
    "convolve_framed": ("pool",),
    "convolve_dense": ("convolve_tools",),
    "convolve_dense_pooled": ("largest",),
    "quantise": ("whole",),
    "requantise": ("shifted",),
    "convolve_int8": ("requantise", "shifted"),
    "activate_tanh": ("tangent",),
    "activate_sigmoid": ("tangent",),
    "activate_swish": ("tangent",),
}
"""How a name begins → what it calls."""


def _loops() -> dict[str, str]:
    """Every function by its name, in the order in which files have them."""
    found = {"dense": _DENSE}
    for bits, type_ in INDEX_TYPES.items():
        index: dict[str, Any] = {"bits": bits, "type": type_}
        for form in FORMS.values():
            found[f"sparse_{bits}{form.suffix}"] = _SPARSE.format(**index, **_sliced(form))
    images = {**channels_first_loops(), **channels_last_loops()}
    return {**SMALL_LOOPS, **activation_loops(), **found, **lane_loops(), **images}


def _sliced(form: Form) -> dict[str, object]:
    """What the sparse loops say of every row of a slice, one sum a variable."""
    # A compiler keeps variables in registers, and adds to several at once; arrays of sums
    # only where it unrolls loops.
    rows = range(SLICE)
    starts = [f"        {form.sum} s{row} = bias[i + {row}];" for row in rows]
    weights = [form.weight.format(f"values[{row}]") for row in rows]
    added = [f"            s{row} += {weights[row]} * x[columns[{row}]];" for row in rows]
    ends = [f"        y[i + {row}] = s{row};" for row in rows]
    return {
        "form": form.suffix,
        "stored": form.stored,
        "sum": form.sum,
        "read": form.read,
        "slice": SLICE,
        "start": "\n".join(starts),
        "add": "\n".join(added),
        "end": "\n".join(ends),
    }
