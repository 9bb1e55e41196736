"""Dense convolutions in C: channels innermost, outputs in blocks."""

import re
from itertools import pairwise

import pytest
import torch
from torch import nn

from offline_prune.encoders import ImpalaEncoderFactory
from offline_prune.export.c.c99 import c_source
from offline_prune.export.c.channels_last import (
    BLOCK,
    channels_last_order,
    dense_is_faster,
    in_blocks,
)
from tests.export.c.test_c99 import policy_of
from tests.export.c.test_images import agrees, thinned


def is_dense(policy):
    return "convolve_dense" in c_source(policy, {})


def convolutions(*layers, shape):
    width = nn.Sequential(*layers)(torch.zeros(1, *shape)).numel()
    torch.manual_seed(0)
    return policy_of(*layers, nn.Flatten(), nn.Linear(width, 3), shape=shape)


@pytest.mark.parametrize("channels", [(1, 16, 32), (4, 31, 17), (3, 16, 9)])
@pytest.mark.parametrize("stride", [1, 2, (1, 3)])
@pytest.mark.parametrize("padding", [0, 1, (2, 0)])
def test_convolutions(channels, stride, padding, tmp_path):
    shape = (channels[0], 9, 11)
    layers = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, (3, 2), stride, padding), nn.ReLU()]
    policy = convolutions(*layers[:-1], nn.Tanh(), shape=shape)
    assert is_dense(policy)
    agrees(policy, shape, tmp_path)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 1), (2, 8), (1, 6)])
def test_few_and_many_positions(size, tmp_path):
    shape = (2, size[0] + 1, size[1] + 2)
    policy = convolutions(nn.Conv2d(2, 16, (2, 3), bias=False), shape=shape)
    assert is_dense(policy)
    agrees(policy, shape, tmp_path)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("shape", [(3, 10, 10), (2, 17, 8), (3, 6, 5), (1, 33, 36)])
def test_residual_encoders(shape, pooled, tmp_path):
    factory = ImpalaEncoderFactory(filters=[16, 30, 16], feature_size=11, pooled=pooled)
    encoder = thinned(factory.create(shape), 0.9)
    policy = policy_of(encoder, nn.Linear(11, 2), shape=shape)
    assert is_dense(policy)
    agrees(policy, shape, tmp_path)


def test_blocks_hold_every_weight_once():
    weight = torch.randn(2 * BLOCK + 1, 3, 2, 4)
    blocks = in_blocks(weight)
    assert blocks.shape == (3, 2, 4, 3, BLOCK)
    assert blocks[1, 0, 3, 2, 5] == weight[BLOCK + 5, 2, 0, 3]
    assert int(blocks.count_nonzero()) == weight.numel()


def test_features_are_found_again():
    image = torch.randn(3, 4, 5)
    assert torch.equal(
        image.flatten()[channels_last_order((3, 4, 5))], image.movedim(0, -1).flatten()
    )


@pytest.mark.parametrize(
    ("density", "outputs", "is_faster"), [(1.0, 32, True), (0.1, 32, False), (1.0, 2, False)]
)
def test_what_is_faster(density, outputs, is_faster):
    layer = thinned(nn.Conv2d(4, outputs, 3), density)
    assert dense_is_faster([layer, nn.ReLU()], (4, 9, 9)) == is_faster


def test_the_frame_computes_the_relu_and_blocks_need_no_copy():
    encoder = ImpalaEncoderFactory(filters=[16], feature_size=8).create((3, 9, 9))
    source = c_source(policy_of(encoder, nn.Linear(8, 2), shape=(3, 9, 9)), {})
    body = re.search(r"network_0_image\(.*?\n}", source, re.S)[0]
    block = ["surround", "convolve_dense", "surround", "convolve_dense", "add_to"]
    calls = re.findall(r"^    (\w+)\(", body, re.M)
    assert calls == [
        "interleave",
        "surround",
        "convolve_dense_pooled",
        *block,
        *block,
        "activate_relu",
    ]
    assert body.count("0.0f, framed") == 4
