"""Residual image encoders as C: the plain steps they are made of, and their loops."""

from __future__ import annotations

from typing import Any

from torch import nn

from offline_prune.encoders.impala import ImpalaEncoder

__all__ = [
    "CONVOLVE_FRAMED",
    "IMAGE_LOOPS",
    "POSITIONS",
    "AddKept",
    "Keep",
    "MeanOfChannels",
    "PooledConvolution",
    "plain_steps",
]

POSITIONS = 16
"""Positions of an image that a convolution computes at once, in registers."""


class PooledConvolution(nn.Module):
    """A convolution of stride 1 and a max-pooling, channel by channel.

    Attributes:
        convolution: Padded with zeros.
        pool: Its kernel, stride and padding are numbers.
    """

    def __init__(self, convolution: nn.Conv2d, pool: nn.MaxPool2d) -> None:
        """Hold the two."""
        super().__init__()
        self.convolution = convolution
        self.pool = pool


class Keep(nn.Module):
    """Keep what comes in for the next :class:`AddKept`."""


class AddKept(nn.Module):
    """Add what was kept: the end of a residual block."""


class MeanOfChannels(nn.Module):
    """(C, H, W) → (C,), the mean of every channel."""


def plain_steps(encoder: ImpalaEncoder) -> list[nn.Module]:
    """An IMPALA encoder as steps of which each reads what the one before wrote.

    Args:
        encoder: The encoder, or Impoola.

    Returns:
        Convolutions, linear layers, activations, a flattening, and the modules above.
    """
    steps: list[nn.Module] = []
    stage: Any
    for stage in encoder.torso.stages:
        steps.append(PooledConvolution(stage.convolution, stage.pool))
        for block in stage.blocks:
            steps += [Keep(), nn.ReLU(), block.first, nn.ReLU(), block.second, AddKept()]
    end = MeanOfChannels() if encoder.torso.pooled else nn.Flatten()
    return [*steps, nn.ReLU(), end, encoder.last, nn.ReLU()]


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

CONVOLVE_FRAMED = """\
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
"""Calls ``pool``; to be formatted with the bits and the type of an index, and positions."""

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

IMAGE_LOOPS = {"frame": _FRAME, "pool": _POOL, "keep": _KEEP, "add": _ADD, "means": _MEAN}
"""Name → definition of the loops over images, in the order in which files have them."""
