"""Dense convolutions as C: channels innermost, outputs in blocks that compilers vectorise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from offline_prune.export.c.activations import activation_call, is_unitwise
from offline_prune.export.c.forms import FORMS
from offline_prune.export.c.images import (
    AddKept,
    Keep,
    MeanOfChannels,
    PooledConvolution,
    convolution_of,
    output_shape,
)
from offline_prune.export.c.network import CNetwork, bias_of, c_array, stored_as
from offline_prune.export.float16 import as_half

__all__ = [
    "BLOCK",
    "channels_last_loops",
    "channels_last_order",
    "dense_is_faster",
    "in_blocks",
    "write_channels_last",
]

BLOCK = 16
"""Outputs of a convolution that are computed at once: the weights of one place of the image are
a vector, or two or four. Five positions of as many sums fill the registers that there are."""

KEPT_IN_ROWS, KEPT_IN_STRIDES = 2.0, 8.0
"""Time of a multiply-add of a kept weight, over that of a dense convolution; with a stride."""

_TOOLS = """\
#ifdef FP_FAST_FMAF /* multiplies and adds at once, also where a compiler may not contract */
#define POLICY_ADD(sum, a, b) sum = fmaf(a, b, sum)
#else
#define POLICY_ADD(sum, a, b) sum += a * b
#endif
#if defined(__GNUC__) && !defined(__clang__) /* its copies for a layer's sizes are slower */
#define POLICY_ONE_COPY __attribute__((noinline, noclone))
#else
#define POLICY_ONE_COPY
#endif
"""

_CONVOLVE = """\
/* A convolution of an image whose channels lie side by side: what an output reads of a row of it
   is one run of numbers. Weights for 16 outputs after another, of each of them at every number of
   every run. 5 positions are summed at once, the last one again where there are fewer. Loops end
   at their end, since none is empty: compilers keep the sums in registers then. */
POLICY_ONE_COPY
static void convolve_dense{form}(const {stored} *restrict weights,
                           const float *restrict bias, int n_outputs, int tall, int run, int pitch,
                           int step_y, int step_x, int height, int width,
                           const float *restrict x, float *restrict y)
{{
    const int n = height * width;
    int first, position, i, j, lane;
    for (first = 0; first < n_outputs; first += 16, weights += tall * run * 16) {{
        const int n_lanes = n_outputs - first < 16 ? n_outputs - first : 16;
        const float *row = x;
        float *out = y + first;
        int column = 0;
        for (position = 0; position < n; position += 5) {{
            float s0[16], s1[16], s2[16], s3[16], s4[16];
            const float *in[5], *x0, *x1, *x2, *x3, *x4;
            const {stored} *w = weights;
            for (i = 0; i < 5; i++) {{
                in[i] = row + column * step_x;
                if (position + i + 1 < n && ++column == width) {{
                    column = 0;
                    row += step_y;
                }}
            }}
            x0 = in[0], x1 = in[1], x2 = in[2], x3 = in[3], x4 = in[4];
            for (lane = 0; lane < 16; lane++)
                s0[lane] = s1[lane] = s2[lane] = s3[lane] = s4[lane] = bias[first + lane];
            i = 0;
            do {{
                j = 0;
                do {{
                    for (lane = 0; lane < 16; lane++) {{
                        POLICY_ADD(s0[lane], {weight}, x0[j]);
                        POLICY_ADD(s1[lane], {weight}, x1[j]);
                        POLICY_ADD(s2[lane], {weight}, x2[j]);
                        POLICY_ADD(s3[lane], {weight}, x3[j]);
                        POLICY_ADD(s4[lane], {weight}, x4[j]);
                    }}
                    w += 16;
                }} while (++j < run);
                x0 += pitch, x1 += pitch, x2 += pitch, x3 += pitch, x4 += pitch;
            }} while (++i < tall);
            if (n_lanes == 16 && position + 5 <= n) {{
                for (lane = 0; lane < 16; lane++) {{
                    out[lane] = s0[lane];
                    out[n_outputs + lane] = s1[lane];
                    out[2 * n_outputs + lane] = s2[lane];
                    out[3 * n_outputs + lane] = s3[lane];
                    out[4 * n_outputs + lane] = s4[lane];
                }}
                out += 5 * n_outputs;
            }} else {{
                const float *sums[5];
                sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3, sums[4] = s4;
                for (i = 0; i < 5 && position + i < n; i++, out += n_outputs)
                    for (lane = 0; lane < n_lanes; lane++)
                        out[lane] = sums[i][lane];
            }}
        }}
    }}
}}
"""

_CONVOLVE_POOLED = """\
/* The same, then the largest of every kernel x kernel square: as many rows of the convolution are
   there at once, and one for the largest of each of their columns. */
static void convolve_dense_pooled{form}(const {stored} *restrict weights,
                                  const float *restrict bias, int n_outputs, int tall, int run,
                                  int pitch, int step_y, int step_x, int height, int width,
                                  int kernel, int stride, int padding, const float *restrict x,
                                  float *restrict rows, float *restrict y)
{{
    const int size = width * n_outputs;
    float *best = rows + kernel * size;
    int top, left, done = 0;
    for (top = -padding; top + kernel <= height + padding; top += stride) {{
        const int first = top < 0 ? 0 : top;
        const int last = (top + kernel < height ? top + kernel : height) - 1;
        for (; done <= last; done++)
            convolve_dense{form}(weights, bias, n_outputs, tall, run, pitch, step_y, step_x, 1,
                           width, x + done * step_y, rows + done % kernel * size);
        largest(rows, size, first, last, kernel, best);
        for (left = -padding; left + kernel <= width + padding; left += stride, y += n_outputs)
            largest(best, n_outputs, left < 0 ? 0 : left,
                    (left + kernel < width ? left + kernel : width) - 1, width, y);
    }}
}}
"""

_LARGEST = """\
/* The largest of vectors number first to last, of n that are kept in turn; one after another. */
static void largest(const float *restrict x, int size, int first, int last, int n,
                    float *restrict y)
{
    const float *one = x + first % n * size, *other = x + last % n * size;
    int i;
    for (i = 0; i < size; i++)
        y[i] = one[i] > other[i] ? one[i] : other[i];
    for (first++; first < last; first++) {
        one = x + first % n * size;
        for (i = 0; i < size; i++)
            y[i] = one[i] > y[i] ? one[i] : y[i];
    }
}
"""

_INTERLEAVE = """\
/* Channels after another as channels side by side. */
static void interleave(const float *restrict x, int channels, int size, float *restrict y)
{
    int i, j;
    for (i = 0; i < size; i++)
        for (j = 0; j < channels; j++)
            y[i * channels + j] = x[j * size + i];
}
"""

_SURROUND = """\
/* An image, channels side by side, in a frame of zeros; numbers below low become it. */
static void surround(const float *restrict x, int channels, int height, int width, int top,
                     int left, float low, float *restrict y)
{
    const int run = width * channels, side = left * channels;
    int row, i;
    for (row = -top; row < height + top; row++) {
        const int n = row < 0 || row >= height ? run : 0;
        for (i = 0; i < side + n; i++)
            *y++ = 0.0f;
        for (i = 0; i < run - n; i++)
            y[i] = x[i] < low ? low : x[i];
        x += run - n;
        y += run - n;
        for (i = 0; i < side; i++)
            *y++ = 0.0f;
    }
}
"""

_ADD_TO = """\
static void add_to(float *restrict x, int n, const float *restrict others)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] += others[i];
}
"""

_AVERAGE = """\
/* The mean of every channel. */
static void average(const float *restrict x, int channels, int size, float *restrict y)
{
    int i, j;
    for (j = 0; j < channels; j++)
        y[j] = 0.0f;
    for (i = 0; i < size; i++)
        for (j = 0; j < channels; j++)
            y[j] += x[i * channels + j];
    for (j = 0; j < channels; j++)
        y[j] /= (float)size;
}
"""


def channels_last_loops() -> dict[str, str]:
    """Every loop by its name, each after what it calls."""
    found = {"convolve_tools": _TOOLS, "interleave": _INTERLEAVE, "surround": _SURROUND}
    found |= {"largest": _LARGEST, "add_to": _ADD_TO, "average": _AVERAGE}
    for form in (FORMS["float32"], FORMS["float16"]):
        words = {
            "form": form.suffix,
            "stored": form.stored,
            "weight": form.weight.format("w[lane]"),
        }
        found[f"convolve_dense{form.suffix}"] = _CONVOLVE.format(**words)
        found[f"convolve_dense_pooled{form.suffix}"] = _CONVOLVE_POOLED.format(**words)
    return found


def channels_last_order(shape: tuple[int, ...]) -> Tensor:
    """Where features that lie channels innermost are, counted channel after channel.

    Args:
        shape: (channels, …).
    """
    return torch.arange(math.prod(shape)).view(shape[0], -1).T.flatten()


def write_channels_last(
    network: CNetwork, layers: Sequence[nn.Module], shape: tuple[int, ...]
) -> tuple[int, ...]:
    """Write what comes before the linear layers; its features lie channels innermost.

    A ReLU in front of a convolution with padding is computed while the frame is laid around the
    image, so that a residual block's input stays where it is until it is added.

    Args:
        network: To add to.
        layers: Convolutions, pooled or not, what residual blocks have, unit-wise ones, and a
            flattening or a mean of channels.
        shape: (channels, height, width) of the image.

    Returns:
        (channels, …), what is flattened.
    """
    last = max(i for i, layer in enumerate(layers) if _writes(layer))
    source, kept, low = "x", "", "-INFINITY"
    if shape[0] > 1:
        source = "image"
        network.needs(source, math.prod(shape))
        network.image_call("interleave", "x", shape[0], math.prod(shape[1:]), source)
    for number, layer in enumerate(layers):
        size = math.prod(shape)
        if type(layer) is nn.ReLU and _is_framed(layers[number + 1]):
            low = "0.0f"
        elif is_unitwise(layer):
            assert source != kept
            network.images.append(activation_call(layer, source, size))
        elif isinstance(layer, Keep):
            kept = source
        elif isinstance(layer, AddKept):
            network.image_call("add_to", source, size, kept)
            kept = ""
        elif _writes(layer):
            target = "b" if source == "a" else "a"
            # A frame is a copy, so that its convolution may write over what it was made of.
            target = "y" if number == last else source if target == kept else target
            if isinstance(layer, MeanOfChannels):
                network.image_call("average", source, shape[0], size // shape[0], target)
            else:
                prefix = f"{network.name}_{number}"
                _write_convolution(network, prefix, layer, shape, low, source, target)
                low = "-INFINITY"
            shape = output_shape(layer, shape)
            source = target
            if target != "y":
                network.image_size = max(network.image_size, math.prod(shape))
    network.n_features = math.prod(shape)
    return shape


def dense_is_faster(layers: Sequence[nn.Module], shape: tuple[int, ...]) -> bool:
    """Whether convolutions are faster with all of their weights than with the kept ones.

    Args:
        layers: As :func:`write_channels_last` takes them.
        shape: (channels, height, width) of the image.
    """
    dense = kept = 0.0
    for layer in layers:
        if (convolution := convolution_of(layer)) is not None:
            weight = convolution.weight
            positions = math.prod(output_shape(convolution, shape)[1:])
            dense += positions * math.ceil(len(weight) / BLOCK) * BLOCK * weight[0].numel()
            slower = KEPT_IN_ROWS if convolution.stride == (1, 1) else KEPT_IN_STRIDES
            kept += positions * int(weight.count_nonzero()) * slower
        shape = output_shape(layer, shape)
    return dense <= kept


def _writes(layer: nn.Module) -> bool:
    return isinstance(layer, MeanOfChannels) or convolution_of(layer) is not None


def _is_framed(layer: nn.Module) -> bool:
    convolution = convolution_of(layer)
    return convolution is not None and convolution.padding != (0, 0)


def _write_convolution(
    network: CNetwork,
    prefix: str,
    layer: nn.Module,
    shape: tuple[int, ...],
    low: str,
    source: str,
    target: str,
) -> None:
    convolution: Any = convolution_of(layer)
    channels, height, width = shape
    top, left = convolution.padding
    if _is_framed(layer):
        arguments = f"{channels}, {height}, {width}, {top}, {left}, {low}"
        network.needs("framed", channels * (height + 2 * top) * (width + 2 * left))
        network.image_call("surround", source, arguments, "framed")
        source = "framed"
    form = network.form
    weight = convolution.weight.detach()
    blocks = in_blocks(as_half(weight) if form is FORMS["float16"] else weight)
    network.arrays += [
        c_array(f"{prefix}_weights", stored_as(blocks, form.stored), form.stored),
        c_array(f"{prefix}_bias", _whole_blocks(bias_of(convolution))),
    ]
    rows, _, tall, wide = convolution.weight.shape
    pitch = (width + 2 * left) * channels
    step_y, step_x = convolution.stride
    _, height, width = output_shape(convolution, shape)
    arguments = (
        f"{prefix}_weights, {prefix}_bias, {rows}, {tall}, {wide * channels}, {pitch},"
        f" {step_y * pitch}, {step_x * channels}, {height}, {width}"
    )
    if isinstance(layer, PooledConvolution):
        pool: Any = layer.pool
        network.needs("rows", (pool.kernel_size + 1) * width * rows)
        arguments += f", {pool.kernel_size}, {pool.stride}, {pool.padding}"
        network.image_call(f"convolve_dense_pooled{form.suffix}", arguments, source, "rows", target)
    else:
        network.image_call(f"convolve_dense{form.suffix}", arguments, source, target)


def in_blocks(weight: Tensor) -> Tensor:
    """Weights of a convolution, :data:`BLOCK` outputs after another; zeros fill the last block.

    Args:
        weight: (outputs, channels, height, width).

    Returns:
        (⌈outputs / BLOCK⌉, height, width, channels, BLOCK).
    """
    return _whole_blocks(weight).reshape(-1, BLOCK, *weight.shape[1:]).permute(0, 3, 4, 2, 1)


def _whole_blocks(values: Tensor) -> Tensor:
    return torch.cat([values, values.new_zeros(-len(values) % BLOCK, *values.shape[1:])])
