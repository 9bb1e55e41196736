"""ONNX in 8-bit integers: pairs of QuantizeLinear and DequantizeLinear, made by ONNX Runtime."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from offline_prune.export.onnx.half import LINEAR, half_weights
from offline_prune.export.onnx.sparse import stripped

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["quantised"]

_AT_ONCE = 128  # observations of which every activation is held


def quantised(model: ModelProto, observations: NDArray[np.float32]) -> ModelProto:
    """Quantise linear layers and convolutions: int8 weights, int8 inputs, int32 sums.

    Weights are symmetric with a step an output (channel) and reach from -64 to 64: x86 processors
    without VNNI cut the sum of two products at 16 bits, and weights of all 8 bits act otherwise
    there. Inputs have one step a tensor, between the least and the largest that occur on the
    observations, and saturate beyond. What comes out of a linear layer stays a float until the next
    one reads it: rounded twice, errors double.

    A vector of an observation has numbers of very different reach, so the layers that read it stay
    in floats, with weights of float16; an image is bytes as it is.

    Args:
        model: In floats, its input named ``observation``; it stays as it is.
        observations: (N, *observation shape) to calibrate on.

    Returns:
        The same model in QDQ form, which runtimes compute in integers.

    Raises:
        UnsupportedExportError: If a weight is too large for float16.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Observations(CalibrationDataReader):  # type: ignore[misc]
        """Blocks of observations, in turn."""

        def __init__(self) -> None:
            cuts = range(_AT_ONCE, len(observations), _AT_ONCE)
            self.blocks = iter(np.split(observations, cuts))

        def get_next(self) -> dict[str, Any] | None:
            block = next(self.blocks, None)
            return None if block is None else {"observation": block}

    given = onnx.ModelProto()  # the quantiser moves the weights of what it is given into a file
    given.CopyFrom(model)
    for i, node in enumerate(given.graph.node):
        node.name = f"node_{i}"
    kept = _readers_of_the_observation(given) if observations.ndim == 2 else []
    with tempfile.TemporaryDirectory() as folder, _silent_root():
        path = Path(folder) / "quantised.onnx"
        quantize_static(
            given,
            path,
            Observations(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(LINEAR),
            nodes_to_exclude=kept,
            per_channel=True,
            reduce_range=True,  # ±64: two products with a byte fit in 16 bits
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
        )
        found = onnx.load(path)
    _leave_out_zero_points_of_biases(found)
    del found.metadata_props[:]
    found.metadata_props.extend(model.metadata_props)
    return half_weights(stripped(found))


def _readers_of_the_observation(model: ModelProto) -> list[str]:
    """Names of linear nodes with no other one between them and the input."""
    behind: set[str] = set()  # what a linear node has gone into
    first = []
    for node in model.graph.node:
        reads_one = any(name in behind for name in node.input)
        if node.op_type in LINEAR and not reads_one:
            first.append(node.name)
        if node.op_type in LINEAR or reads_one:
            behind.update(node.output)
    return first


def _leave_out_zero_points_of_biases(model: ModelProto) -> None:
    """They are 0, which is the default: four bytes an output less."""
    graph = model.graph
    names = {t.name for t in graph.initializer if t.name.endswith("bias_quantized_zero_point")}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and len(node.input) == 3 and node.input[2] in names:
            del node.input[2]
    kept = [tensor for tensor in graph.initializer if tensor.name not in names]
    del graph.initializer[:]
    graph.initializer.extend(kept)


@contextlib.contextmanager
def _silent_root() -> Iterator[None]:
    """The quantiser advises by the root logger what is of no use for these models."""
    logger = logging.getLogger()

    def hushed(record: logging.LogRecord) -> bool:
        return "pre-processing" not in record.getMessage()

    handlers = list(logger.handlers)
    logger.addFilter(hushed)
    try:
        yield
    finally:
        logger.removeFilter(hushed)
        for handler in set(logger.handlers) - set(handlers):
            logger.removeHandler(handler)  # logging.warning() adds one where there is none
