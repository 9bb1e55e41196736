"""Loops over blocks of observations, feature by feature: the lanes of a vector instruction.

One weight is a multiply-add of as many numbers as there are lanes. What integers become is, bit
for bit, what they become one observation at a time.
"""

from __future__ import annotations

from offline_prune.export.c.forms import FORMS, INDEX_TYPES, Form
from offline_prune.export.c.slices import SLICE

__all__ = ["lane_loops"]

_DENSE = """\
/* dense{form} for a block of observations, feature by feature. */
static void dense{form}_lanes(const {stored} *restrict weights, const {sum} *restrict bias,
                        int n_inputs, int n_outputs, const {sum} *restrict x, {sum} *restrict y)
{{
    int i, j, lane;
    for (i = 0; i < n_outputs; i++, y += POLICY_LANES) {{
        const {stored} *w = weights + {row};
        const {sum} *f = x;
        {sum} sum[POLICY_LANES];
        for (lane = 0; lane < POLICY_LANES; lane++)
            sum[lane] = bias[i];
        for (j = 0; j < n_inputs % 4; j++, w += {step}, f += POLICY_LANES) {{
            const {sum} w0 = {w0};
            for (lane = 0; lane < POLICY_LANES; lane++)
                sum[lane] += w0 * f[lane];
        }}
        for (; j < n_inputs; j += 4, w += 4 * {step}, f += 4 * POLICY_LANES) {{
            const {sum} w0 = {w0}, w1 = {w1};
            const {sum} w2 = {w2}, w3 = {w3};
            for (lane = 0; lane < POLICY_LANES; lane++)
                sum[lane] += (w0 * f[lane] + w1 * f[POLICY_LANES + lane])
                           + (w2 * f[2 * POLICY_LANES + lane] + w3 * f[3 * POLICY_LANES + lane]);
        }}
        for (lane = 0; lane < POLICY_LANES; lane++)
            y[lane] = sum[lane];
    }}
}}
"""

_SPARSE = """\
/* sparse_{bits}{form} for a block of observations, feature by feature, output by output. */
static void sparse_{bits}{form}_lanes(const {stored} *restrict values,
                            const {type} *restrict columns,
                            const unsigned int *restrict lengths, const {sum} *restrict bias,
                            int n_outputs, const {sum} *restrict x, {sum} *restrict y)
{{
    int i, lane;
    for (i = 0; i < n_outputs; i++, y += POLICY_LANES) {{
        const unsigned int size = {slice} * *lengths;
        unsigned int k = (unsigned int)i % {slice}, stop = size + k;
        {sum} sum[POLICY_LANES];
        while (stop > k && values[stop - {slice}] == 0) /* of a longer row */
            stop -= {slice};
        for (lane = 0; lane < POLICY_LANES; lane++)
            sum[lane] = bias[i];
        for (; k + {three} < stop; k += {four}) {{
            const {sum} *f0 = x + columns[k] * POLICY_LANES;
            const {sum} *f1 = x + columns[k + {one}] * POLICY_LANES;
            const {sum} *f2 = x + columns[k + {two}] * POLICY_LANES;
            const {sum} *f3 = x + columns[k + {three}] * POLICY_LANES;
            const {sum} w0 = {w0}, w1 = {w1};
            const {sum} w2 = {w2}, w3 = {w3};
            for (lane = 0; lane < POLICY_LANES; lane++)
                sum[lane] += (w0 * f0[lane] + w1 * f1[lane]) + (w2 * f2[lane] + w3 * f3[lane]);
        }}
        for (; k < stop; k += {slice}) {{
            const {sum} *f = x + columns[k] * POLICY_LANES;
            const {sum} w0 = {w0};
            for (lane = 0; lane < POLICY_LANES; lane++)
                sum[lane] += w0 * f[lane];
        }}
        for (lane = 0; lane < POLICY_LANES; lane++)
            y[lane] = sum[lane];
        if (i % {slice} == {last}) {{ /* the next slice */
            values += size;
            columns += size;
            lengths++;
        }}
    }}
}}
"""

_INTEGERS = {
    "quantise_lanes": """\
static void quantise_lanes(const float *restrict x, const float *restrict per_step, int32_t limit,
                           int n, int32_t *restrict units)
{
    int i, lane;
    for (i = 0; i < n; i++, x += POLICY_LANES, units += POLICY_LANES)
        for (lane = 0; lane < POLICY_LANES; lane++)
            units[lane] = whole(x[lane] * per_step[i], limit);
}
""",
    "dequantise_lanes": """\
static void dequantise_lanes(const int32_t *restrict sums, const float *restrict scales, int n,
                             float *restrict y)
{
    int i, lane;
    for (i = 0; i < n; i++, sums += POLICY_LANES, y += POLICY_LANES)
        for (lane = 0; lane < POLICY_LANES; lane++)
            y[lane] = (float)sums[lane] * scales[i];
}
""",
    "requantise_lanes": """\
static void requantise_lanes(const int32_t *restrict sums, const int32_t *restrict multipliers,
                             const uint8_t *restrict shifts, int32_t low, int32_t high, int n,
                             int32_t *restrict units)
{
    int i, lane;
    for (i = 0; i < n; i++, sums += POLICY_LANES, units += POLICY_LANES) {
        const uint64_t multiplier = (uint64_t)multipliers[i];
        const uint64_t middle = (uint64_t)1 << (shifts[i] - 1);
        if (low == 0) /* the same without signs */
            for (lane = 0; lane < POLICY_LANES; lane++) {
                const uint32_t sum = sums[lane] < 0 ? 0U : (uint32_t)sums[lane];
                const uint64_t q = (sum * multiplier + middle) >> shifts[i];
                units[lane] = q < (uint32_t)high ? (int32_t)q : high;
            }
        else
            for (lane = 0; lane < POLICY_LANES; lane++)
                units[lane] = shifted(sums[lane], multipliers[i], shifts[i], low, high);
    }
}
""",
}


def lane_loops() -> dict[str, str]:
    """The loop of every kind of layer and form of weights, by its name."""
    found = {f"dense{form.suffix}_lanes": _dense(form) for form in FORMS.values()}
    for bits, type_ in INDEX_TYPES.items():
        for form in FORMS.values():
            found[f"sparse_{bits}{form.suffix}_lanes"] = _sparse(form, bits, type_)
    return {**_INTEGERS, **found}


def _dense(form: Form) -> str:
    # Floats of one input lie side by side, of others those of one output.
    row, step = ("i", "n_outputs") if form.stored == "float" else ("i * n_inputs", "1")
    places = ["w[0]", f"w[{step}]", f"w[2 * {step}]", f"w[3 * {step}]"]
    return _DENSE.format(**_typed(form, places), row=row, step=step)


def _sparse(form: Form, bits: int, type_: str) -> str:
    places = ["values[k]", *(f"values[k + {n * SLICE}]" for n in (1, 2, 3))]
    return _SPARSE.format(
        **_typed(form, places),
        bits=bits,
        type=type_,
        slice=SLICE,
        one=SLICE,
        two=2 * SLICE,
        three=3 * SLICE,
        four=4 * SLICE,
        last=SLICE - 1,
    )


def _typed(form: Form, places: list[str]) -> dict[str, str]:
    factors = {f"w{n}": form.weight.format(place) for n, place in enumerate(places)}
    return {"form": form.suffix, "stored": form.stored, "sum": form.sum, **factors}
