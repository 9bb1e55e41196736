"""The loops of an exported C policy; only those that it calls are written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from offline_prune.export.c.forms import FORMS, SMALL_LOOPS, Form
from offline_prune.export.c.images import CONVOLVE_FRAMED, IMAGE_LOOPS, POSITIONS
from offline_prune.export.c.slices import SLICE

__all__ = ["ACTIVATIONS", "DENSE_LANES", "INDEX_TYPES", "SPARSE_LANES", "functions"]

DENSE_LANES = 16
"""Observations of a block of ``policy_act_batch``, feature by feature, so that one weight is
a multiply-add of that many numbers. Dense layers read their weights in strides and need the
cache for these."""

SPARSE_LANES = 32
"""The same where most multiply-adds are those of sparse layers."""

ACTIVATIONS = {
    "relu": "x[i] < 0.0f ? 0.0f : x[i]",
    "tanh": "tanhf(x[i])",
    "sigmoid": "1.0f / (1.0f + expf(-x[i]))",
    "swish": "x[i] / (1.0f + expf(-x[i]))",
    "gelu": "0.5f * x[i] * (1.0f + erff(x[i] * 0.70710678f))",
    "elu": "x[i] > 0.0f ? x[i] : slope * expm1f(x[i])",
    "leaky_relu": "x[i] > 0.0f ? x[i] : slope * x[i]",
}
"""Name → the expression; ``slope`` is a parameter of those that have one."""

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

_DENSE_LANES = """\
/* The same for a block of observations, feature by feature. */
static void dense_lanes(const float *restrict weights, const float *restrict bias, int n_inputs,
                        int n_outputs, const float *restrict x, float *restrict y)
{
    int i, j, lane;
    for (i = 0; i < n_outputs; i++) {
        float sum[POLICY_LANES];
        for (lane = 0; lane < POLICY_LANES; lane++)
            sum[lane] = bias[i];
        for (j = 0; j < n_inputs % 4; j++)
            for (lane = 0; lane < POLICY_LANES; lane++)
                sum[lane] += weights[j * n_outputs + i] * x[j * POLICY_LANES + lane];
        for (; j < n_inputs; j += 4) {
            const float *w = weights + j * n_outputs + i, *f = x + j * POLICY_LANES;
            const float w0 = w[0], w1 = w[n_outputs], w2 = w[2 * n_outputs], w3 = w[3 * n_outputs];
            for (lane = 0; lane < POLICY_LANES; lane++)
                sum[lane] += (w0 * f[lane] + w1 * f[POLICY_LANES + lane])
                           + (w2 * f[2 * POLICY_LANES + lane] + w3 * f[3 * POLICY_LANES + lane]);
        }
        for (lane = 0; lane < POLICY_LANES; lane++)
            y[i * POLICY_LANES + lane] = sum[lane];
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

_SPARSE_LANES = """\
/* The same for a block of observations, feature by feature, output by output. */
static void sparse_{bits}_lanes(const float *restrict values, const {type} *restrict columns,
                            const unsigned int *restrict lengths, const float *restrict bias,
                            int n_outputs, const float *restrict x, float *restrict y)
{{
    int i, lane;
    for (i = 0; i < n_outputs; i++, y += POLICY_LANES) {{
        const unsigned int stop = {slice} * *lengths;
        unsigned int k = (unsigned int)i % {slice};
        float sum[POLICY_LANES];
        for (lane = 0; lane < POLICY_LANES; lane++)
            sum[lane] = bias[i];
        for (; k + {three} < stop; k += {four}) {{
            const float *f0 = x + columns[k] * POLICY_LANES;
            const float *f1 = x + columns[k + {one}] * POLICY_LANES;
            const float *f2 = x + columns[k + {two}] * POLICY_LANES;
            const float *f3 = x + columns[k + {three}] * POLICY_LANES;
            const float v0 = values[k], v1 = values[k + {one}];
            const float v2 = values[k + {two}], v3 = values[k + {three}];
            for (lane = 0; lane < POLICY_LANES; lane++)
                sum[lane] += (v0 * f0[lane] + v1 * f1[lane]) + (v2 * f2[lane] + v3 * f3[lane]);
        }}
        for (; k < stop; k += {slice}) {{
            const float *feature = x + columns[k] * POLICY_LANES;
            for (lane = 0; lane < POLICY_LANES; lane++)
                sum[lane] += values[k] * feature[lane];
        }}
        for (lane = 0; lane < POLICY_LANES; lane++)
            y[lane] = sum[lane];
        if (i % {slice} == {last}) {{ /* the next slice */
            values += stop;
            columns += stop;
            lengths++;
        }}
    }}
}}
"""

_CONVOLVE = """\
/* A convolution without padding, kept weights only; taps say where in the image of output
   position (0, 0) each of them reads. */
static void convolve_{bits}(const float *restrict values, const {type} *restrict taps,
                        const unsigned int *restrict starts, const float *restrict bias,
                        int n_outputs, int height, int width, int step_y, int step_x,
                        const float *restrict x, float *restrict y)
{{
    int i, row, column;
    unsigned int k = 0;
    for (i = 0; i < n_outputs; i++, y += height * width) {{
        const unsigned int stop = starts[i + 1];
        for (row = 0; row < height * width; row++)
            y[row] = bias[i];
        for (; k < stop; k++)
            for (row = 0; row < height; row++) {{
                const float *image = x + taps[k] + row * step_y;
                for (column = 0; column < width; column++)
                    y[row * width + column] += values[k] * image[column * step_x];
            }}
    }}
}}
"""

_ACTIVATION = """\
static void activate_{name}(float *x, int n{parameter})
{{
    int i;
    for (i = 0; i < n; i++)
        x[i] = {expression};
}}
"""

INDEX_TYPES = {8: "unsigned char", 16: "unsigned short", 32: "unsigned int"}
"""Bits of an index → its type."""


def functions(names: Iterable[str]) -> list[str]:
    """Definitions of functions.

    Args:
        names: ``"dense"``, ``"sparse_8"``, ``"convolve_16"``, … (bits of an index), linear ones
            with ``"_lanes"`` too, ``"activate_"`` and one of :data:`ACTIVATIONS`, or a loop
            over images (:mod:`~offline_prune.export.c.images`).

    Returns:
        C text, one a distinct name, in a fixed order, each after what it calls.
    """
    wanted = set(names)
    if any(name.startswith("convolve_framed") for name in wanted):
        wanted.add("pool")
    if any(name.endswith("_half") for name in wanted):
        wanted.add("half")
    return [text for name, text in _loops().items() if name in wanted]


def _loops() -> dict[str, str]:
    """Every function by its name, in the order in which files have them."""
    found = {"dense": _DENSE, "dense_lanes": _DENSE_LANES}
    framed = {}
    for name, expression in ACTIVATIONS.items():
        found[f"activate_{name}"] = _ACTIVATION.format(
            name=name,
            parameter=", float slope" if "slope" in expression else "",
            expression=expression,
        )
    for bits, type_ in INDEX_TYPES.items():
        index: dict[str, Any] = {"bits": bits, "type": type_}
        found[f"convolve_{bits}"] = _CONVOLVE.format(**index)
        for form in FORMS.values():
            found[f"sparse_{bits}{form.suffix}"] = _SPARSE.format(**index, **_sliced(form))
        found[f"sparse_{bits}_lanes"] = _SPARSE_LANES.format(**index, **_sliced(FORMS["float32"]))
        framed[f"convolve_framed_{bits}"] = CONVOLVE_FRAMED.format(**index, positions=POSITIONS)
    ordered = sorted(found.items(), key=lambda item: item[0].removeprefix("activate_"))
    return {**SMALL_LOOPS, **dict(ordered), **IMAGE_LOOPS, **framed}


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
        "one": SLICE,
        "two": 2 * SLICE,
        "three": 3 * SLICE,
        "four": 4 * SLICE,
        "last": SLICE - 1,
    }
