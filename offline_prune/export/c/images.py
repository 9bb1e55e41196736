"""Layers of images: the plain steps that encoders are made of, and the size of what they write."""

from __future__ import annotations

from typing import Any

from torch import nn

from offline_prune.encoders.impala import ImpalaEncoder

__all__ = [
    "AddKept",
    "Keep",
    "MeanOfChannels",
    "PooledConvolution",
    "convolution_of",
    "is_plain_convolution",
    "output_shape",
    "plain_steps",
]


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


def is_plain_convolution(layer: nn.Module) -> bool:
    """Whether it is a convolution that C has."""
    if type(layer) is not nn.Conv2d:
        return False
    zeros = layer.padding_mode == "zeros" and isinstance(layer.padding, tuple)
    return zeros and layer.dilation == (1, 1) and layer.groups == 1


def convolution_of(layer: nn.Module) -> nn.Conv2d | None:
    """The convolution that a step is or has."""
    if isinstance(layer, PooledConvolution):
        return layer.convolution
    return layer if isinstance(layer, nn.Conv2d) else None


def output_shape(layer: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of what a step writes, of what it reads: (C, H, W) of images."""
    if isinstance(layer, MeanOfChannels):
        return shape[:1]
    if isinstance(layer, PooledConvolution):
        channels, *image = output_shape(layer.convolution, shape)
        pool: Any = layer.pool
        return (channels, *(_places(n, pool.kernel_size, pool.stride, pool.padding) for n in image))
    if isinstance(layer, nn.Conv2d):
        *_, tall, wide = layer.weight.shape
        edges: Any = zip(shape[1:], (tall, wide), layer.stride, layer.padding, strict=True)
        return (len(layer.weight), *(_places(*edge) for edge in edges))
    return shape


def _places(n: int, kernel: int, stride: int, padding: int) -> int:
    return (n + 2 * padding - kernel) // stride + 1
