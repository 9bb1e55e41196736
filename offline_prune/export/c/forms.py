"""What weights are stored as, and the loops of those that are smaller than a float."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FORMS", "INDEX_TYPES", "SMALL_LOOPS", "Form"]


@dataclass(frozen=True)
class Form:
    """Numbers of a layer.

    Attributes:
        suffix: Of its loops' names.
        stored: Type of a weight.
        read: Type of an input, one observation at a time.
        sum: Type of a sum, of a bias and of what is written; of all numbers of a block.
        weight: A stored weight as a factor; ``{}`` is it.
        line: What the file's comment says.
    """

    suffix: str
    stored: str
    read: str
    sum: str
    weight: str
    line: str


FORMS = {
    "float32": Form("", "float", "float", "float", "{}", "float32"),
    "float16": Form(
        "_half", "uint16_t", "float", "float", "half({})", "weights float16, all else float32"
    ),
    "int8": Form(
        "_int8", "int8_t", "int16_t", "int32_t", "(int32_t){}",
        "weights int8, a step a row; units int16, saturating; sums int32, which cannot overflow",
    ),
}  # fmt: skip
"""Name → form of the weights."""

INDEX_TYPES = {8: "unsigned char", 16: "unsigned short", 32: "unsigned int"}
"""Bits of an index → its type."""

SMALL_LOOPS = {
    "half": """\
/* A float16 as the float that it is; finite ones. Its exponent is moved by 112. */
static float half(uint16_t bits)
{
    union { uint32_t bits; float value; } number;
    number.bits = (uint32_t)(bits & 0x7FFFU) << 13;
    number.value *= 5192296858534827628530496329220096.0f;
    return bits & 0x8000U ? -number.value : number.value;
}
""",
    "dense_half": """\
/* y = W x + b, output by output. */
static void dense_half(const uint16_t *restrict weights, const float *restrict bias, int n_inputs,
                       int n_outputs, const float *restrict x, float *restrict y)
{
    int i, j;
    for (i = 0; i < n_outputs; i++, weights += n_inputs) {
        float sum = bias[i];
        for (j = 0; j < n_inputs; j++)
            sum += half(weights[j]) * x[j];
        y[i] = sum;
    }
}
""",
    "dense_int8": """\
/* y = W x + b, output by output. */
static void dense_int8(const int8_t *restrict weights, const int32_t *restrict bias, int n_inputs,
                       int n_outputs, const int16_t *restrict x, int32_t *restrict y)
{
    int i, j;
    for (i = 0; i < n_outputs; i++, weights += n_inputs) {
        int32_t sum = bias[i];
        for (j = 0; j < n_inputs; j++)
            sum += (int32_t)weights[j] * x[j];
        y[i] = sum;
    }
}
""",
    "whole": """\
/* A number of steps, rounded and cut to the limit; what is no number becomes the least. */
static int16_t whole(float q, int32_t limit)
{
    const float most = (float)limit;
    const float cut = q >= -most ? (q <= most ? q : most) : -most;
    return (int16_t)(cut < 0.0f ? cut - 0.5f : cut + 0.5f);
}
""",
    "quantise": """\
static void quantise(const float *restrict x, const float *restrict per_step, int32_t limit, int n,
                     int16_t *restrict units)
{
    int i;
    for (i = 0; i < n; i++)
        units[i] = whole(x[i] * per_step[i], limit);
}
""",
    "quantise_image": """\
/* Channels after another as channels side by side, each with a step of its own. */
static void quantise_image(const float *restrict x, const float *restrict per_step, int32_t limit,
                           int channels, int size, int16_t *restrict units)
{
    int i, j;
    for (i = 0; i < size; i++)
        for (j = 0; j < channels; j++)
            units[i * channels + j] = whole(x[j * size + i] * per_step[j], limit);
}
""",
    "dequantise": """\
static void dequantise(const int32_t *restrict sums, const float *restrict scales, int n,
                       float *restrict y)
{
    int i;
    for (i = 0; i < n; i++)
        y[i] = (float)sums[i] * scales[i];
}
""",
    "shifted": """\
/* A sum as the next layer's input: times multiplier / 2^shift, rounded, cut to low and high. */
static int32_t shifted(int32_t sum, int32_t multiplier, int shift, int32_t low, int32_t high)
{
    const int64_t product = (int64_t)sum * multiplier;
    int64_t q = ((product < 0 ? -product : product) + ((int64_t)1 << (shift - 1))) >> shift;
    q = product < 0 ? -q : q;
    q = q < low ? low : q > high ? high : q; /* cut, then narrowed: gcc vectorises that */
    return (int32_t)q;
}
""",
    "requantise": """\
static void requantise(const int32_t *restrict sums, const int32_t *restrict multipliers,
                       const uint8_t *restrict shifts, int32_t low, int32_t high, int n,
                       int16_t *restrict units)
{
    int i;
    for (i = 0; i < n; i++)
        units[i] = (int16_t)shifted(sums[i], multipliers[i], shifts[i], low, high);
}
""",
    "convolve_int8": """\
/* A convolution of an image whose channels lie side by side, position by position; its weights
   for one output after another, run by run. Sums become the next layer's inputs. */
static void convolve_int8(const int8_t *restrict weights, const int32_t *restrict bias,
                          const int32_t *restrict multipliers, const uint8_t *restrict shifts,
                          int32_t low, int32_t high, int n_outputs, int tall, int run, int pitch,
                          int step_y, int step_x, int height, int width,
                          const int16_t *restrict x, int32_t *restrict sums,
                          int16_t *restrict units)
{
    int row, column, i, j, k;
    for (row = 0; row < height; row++)
        for (column = 0; column < width; column++, units += n_outputs) {
            const int8_t *w = weights;
            for (i = 0; i < n_outputs; i++) {
                const int16_t *in = x + row * step_y + column * step_x;
                int32_t sum = bias[i];
                for (j = 0; j < tall; j++, in += pitch, w += run)
                    for (k = 0; k < run; k++)
                        sum += (int32_t)w[k] * in[k];
                sums[i] = sum;
            }
            requantise(sums, multipliers, shifts, low, high, n_outputs, units);
        }
}
""",
}
"""Name → text of a loop."""
