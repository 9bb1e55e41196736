"""Convolutions of kept weights as C: channel after channel, as images come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from offline_prune.export.c.activations import activation_call, is_unitwise
from offline_prune.export.c.forms import INDEX_TYPES
from offline_prune.export.c.images import (
    AddKept,
    Keep,
    MeanOfChannels,
    PooledConvolution,
    output_shape,
)
from offline_prune.export.c.network import CNetwork, bias_of, c_array, index_type

__all__ = ["channels_first_loops", "write_channels_first"]

_POSITIONS = 16  # of an image that a convolution computes at once, in registers

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

_FRAME = """\
/* An image with zeros around every channel, and some more behind the last. */
static void frame(const float *restrict x, int channels, int height, int width, int top,
                  int left, int size, float *restrict y)
{
    int i, row, column;
    for (i = 0; i < size; i++)
        y[i] = 0.0f;
    y += top * (width + 2 * left) + left;
    for (i = 0; i < channels; i++, y += 2 * top * (width + 2 * left))
        for (row = 0; row < height; row++, x += width, y += width + 2 * left)
            for (column = 0; column < width; column++)
                y[column] = x[column];
}
"""

_CONVOLVE_FRAMED = """\
/* A convolution of a framed image, kept weights only, then max-pooling of every channel
   (kernel 1: none). Positions are counted through whole rows of the frame, {positions} at once:
   those beyond the image are computed and dropped. */
static void convolve_framed_{bits}(const float *restrict values, const {type} *restrict taps,
                               const unsigned int *restrict starts, const float *restrict bias,
                               int n_outputs, int height, int width, int pitch, int kernel,
                               int stride, int padding, const float *restrict framed,
                               float *restrict channel, float *restrict y)
{{
    const int n = (height - 1) * pitch + width;
    int i, position, lane;
    for (i = 0; i < n_outputs; i++) {{
        const unsigned int stop = starts[i + 1];
        for (position = 0; position < n; position += {positions}) {{
            const float *x = framed + position;
            unsigned int k = starts[i];
            float sum[{positions}];
            for (lane = 0; lane < {positions}; lane++)
                sum[lane] = bias[i];
            for (; k + 4 <= stop; k += 4) {{
                const float *x0 = x + taps[k], *x1 = x + taps[k + 1];
                const float *x2 = x + taps[k + 2], *x3 = x + taps[k + 3];
                for (lane = 0; lane < {positions}; lane++)
                    sum[lane] += (values[k] * x0[lane] + values[k + 1] * x1[lane])
                               + (values[k + 2] * x2[lane] + values[k + 3] * x3[lane]);
            }}
            for (; k < stop; k++) {{
                const float *x0 = x + taps[k];
                for (lane = 0; lane < {positions}; lane++)
                    sum[lane] += values[k] * x0[lane];
            }}
            for (lane = 0; lane < {positions}; lane++)
                channel[position + lane] = sum[lane];
        }}
        y = pool(channel, height, width, pitch, kernel, stride, padding, y);
    }}
}}
"""

_POOL = """\
/* The largest of every kernel x kernel square of a channel, which has a row of room behind it;
   where the next channel's begin. */
static float *pool(float *restrict channel, int height, int width, int pitch, int kernel,
                   int stride, int padding, float *restrict y)
{
    float *best = channel + height * pitch;
    int top, left, i, column;
    for (top = -padding; top + kernel <= height + padding; top += stride) {
        const int first = top < 0 ? 0 : top;
        const int last = top + kernel < height ? top + kernel : height;
        const float *row = channel + first * pitch;
        for (column = 0; column < width; column++)
            best[column] = row[column];
        for (i = first + 1; i < last; i++) {
            row += pitch;
            for (column = 0; column < width; column++)
                best[column] = row[column] > best[column] ? row[column] : best[column];
        }
        for (left = -padding; left + kernel <= width + padding; left += stride) {
            const int stop = left + kernel < width ? left + kernel : width;
            column = left < 0 ? 0 : left;
            *y = best[column];
            for (column++; column < stop; column++)
                *y = best[column] > *y ? best[column] : *y;
            y++;
        }
    }
    return y;
}
"""

_KEEP = """\
static void keep(const float *restrict x, int n, float *restrict kept)
{
    int i;
    for (i = 0; i < n; i++)
        kept[i] = x[i];
}
"""

_ADD = """\
static void add(float *restrict x, int n, const float *restrict kept)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] += kept[i];
}
"""

_MEAN = """\
static void means(const float *restrict x, int channels, int size, float *restrict y)
{
    int i, j;
    for (i = 0; i < channels; i++, x += size) {
        float sum = 0.0f;
        for (j = 0; j < size; j++)
            sum += x[j];
        y[i] = sum / (float)size;
    }
}
"""


def channels_first_loops() -> dict[str, str]:
    """Every loop by its name, each after what it calls."""
    found = {"frame": _FRAME, "pool": _POOL, "keep": _KEEP, "add": _ADD, "means": _MEAN}
    for bits, type_ in INDEX_TYPES.items():
        index: dict[str, Any] = {"bits": bits, "type": type_, "positions": _POSITIONS}
        found[f"convolve_{bits}"] = _CONVOLVE.format(**index)
        found[f"convolve_framed_{bits}"] = _CONVOLVE_FRAMED.format(**index)
    return found


def write_channels_first(
    network: CNetwork, layers: Sequence[nn.Module], shape: tuple[int, ...]
) -> None:
    """Write what comes before the linear layers; its features are channel after channel.

    Args:
        network: To add to.
        layers: Convolutions, pooled or not, what residual blocks have, unit-wise ones, and a
            flattening or a mean of channels.
        shape: (channels, height, width) of the image.
    """
    last = max(i for i, layer in enumerate(layers) if _writes(layer))
    source, target = "x", "a"
    for number, layer in enumerate(layers):
        size = math.prod(shape)
        if is_unitwise(layer):
            network.images.append(activation_call(layer, source, size))
        elif isinstance(layer, Keep | AddKept):
            network.needs("kept", size)
            network.image_call("keep" if isinstance(layer, Keep) else "add", source, size, "kept")
        elif _writes(layer):
            target = "y" if number == last else "b" if source == "a" else "a"
            if isinstance(layer, MeanOfChannels):
                network.image_call("means", source, shape[0], size // shape[0], target)
                shape = shape[:1]
            else:
                prefix = f"{network.name}_{number}"
                shape = _write_convolution(network, prefix, layer, shape, source, target)
            source = target
            if target != "y":
                network.image_size = max(network.image_size, math.prod(shape))
    network.n_features = math.prod(shape)


def _writes(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d | PooledConvolution | MeanOfChannels)


def _write_convolution(
    network: CNetwork,
    prefix: str,
    layer: nn.Module,
    shape: tuple[int, ...],
    source: str,
    target: str,
) -> tuple[int, ...]:
    """A convolution; one with padding of an image in a frame of zeros, then pooled or not."""
    written = output_shape(layer, shape)
    pool: Any = None
    if isinstance(layer, PooledConvolution):
        layer, pool = layer.convolution, layer.pool
    assert isinstance(layer, nn.Conv2d)
    top, left = (int(n) for n in layer.padding)
    step_y, step_x = layer.stride
    is_framed = pool is not None or (top, left) != (0, 0)
    _, height, width = output_shape(layer, shape)
    if is_framed:
        channels, rows, columns = shape
        shape = (channels, rows + 2 * top, columns + 2 * left)
        size = math.prod(shape) + _POSITIONS
        network.needs("framed", size)
        network.image_call("frame", source, channels, rows, columns, top, left, size, "framed")
        source = "framed"
    pitch = shape[2]
    bits, arguments = _write_kernels(network, prefix, layer, shape)
    if not is_framed or layer.stride != (1, 1):
        steps = f"{step_y * pitch}, {step_x}"
        network.image_call(f"convolve_{bits}", arguments, height, width, steps, source, target)
        return written
    kernel, stride, padding = 1, 1, 0
    if pool is not None:
        kernel, stride, padding = pool.kernel_size, pool.stride, pool.padding
    network.needs("channel", (height + 1) * pitch + _POSITIONS)
    pooling = f"{height}, {width}, {pitch}, {kernel}, {stride}, {padding}"
    network.image_call(f"convolve_framed_{bits}", arguments, pooling, source, "channel", target)
    return written


def _write_kernels(
    network: CNetwork, prefix: str, layer: nn.Conv2d, shape: tuple[int, ...]
) -> tuple[int, str]:
    """Write kept weights row by row; return the bits of an index, and what loops take first."""
    rows, _, tall, wide = layer.weight.shape
    weight = layer.weight.detach().flatten(1)
    taps = np.arange(math.prod(shape)).reshape(shape)[:, :tall, :wide].ravel()
    bits, type_ = index_type(math.prod(shape))
    row, column = weight.nonzero(as_tuple=True)
    starts = np.cumsum([0, *weight.count_nonzero(dim=1).tolist()])
    network.arrays += [
        c_array(f"{prefix}_values", weight[row, column]),
        c_array(f"{prefix}_columns", taps[column.numpy()], type_),
        c_array(f"{prefix}_starts", starts, "unsigned int"),
        c_array(f"{prefix}_bias", bias_of(layer)),
    ]
    names = ", ".join(f"{prefix}_{part}" for part in ("values", "columns", "starts", "bias"))
    return bits, f"{names}, {rows}"
