"""Pruned weights of an ONNX file, stored without their zeros and without extensions of ONNX."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

__all__ = ["gap_coded", "sparse_weights", "stripped"]

_GAP = 255  # the largest of an unsigned byte
_FRAMING = 100  # bytes between the parts of a weight, and those that all weights share


def gap_coded(weights: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Code an array as gaps and values: a byte and the value for each weight that is not zero.

    Value k belongs to the place ``gaps[0] + … + gaps[k]``. Where a gap does not fit into a
    byte, zeros stand in between.

    Args:
        weights: Any shape, read row by row; NaN counts as not zero.

    Returns:
        (K,) gaps and (K,) values; both empty if all weights are zero.
    """
    flat = weights.ravel()
    kept = np.flatnonzero(flat)
    distances = np.diff(kept, prepend=0)
    fillers = np.maximum(distances - 1, 0) // _GAP
    ends = np.cumsum(fillers + 1) - 1
    gaps = np.full(int((fillers + 1).sum()), _GAP, dtype=np.uint8)
    values = np.zeros(len(gaps), dtype=weights.dtype)
    gaps[ends] = distances - fillers * _GAP
    values[ends] = flat[kept]
    return gaps, values


def sparse_weights(model: ModelProto) -> ModelProto:
    """Store the weights of a model gap-coded, where that is smaller.

    Standard operators rebuild them: Cast, CumSum, ScatterElements into zeros, Reshape.
    Their inputs are constants, so that a runtime that folds constants (ONNX Runtime does,
    unless told otherwise) computes them once, when it opens the file, and then runs the
    dense model.

    Args:
        model: Of opset 13 or later, with its weights inside; it stays as it is. Those of
            two dimensions or more, of floats or 8-bit integers, are considered.

    Returns:
        A model that computes the same numbers.
    """
    import onnx
    from onnx import numpy_helper

    new = onnx.ModelProto()
    new.CopyFrom(model)
    graph = new.graph
    tensors: list[TensorProto] = []
    nodes: list[NodeProto] = []
    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8)
    for tensor in graph.initializer:
        if tensor.data_type in kinds and len(tensor.dims) > 1:
            weight = numpy_helper.to_array(tensor)
            parts, rebuild = _rebuilt(tensor.name, weight.shape, *gap_coded(weight))
            size = sum(part.ByteSize() for part in parts) + sum(n.ByteSize() for n in rebuild)
            if size + _FRAMING < tensor.ByteSize():
                tensors += parts
                nodes += rebuild
                continue
        tensors.append(tensor)
    if nodes:
        nodes += graph.node
        tensors.append(numpy_helper.from_array(np.zeros((), np.int32), _AXIS))
        del graph.node[:], graph.initializer[:]
        graph.node.extend(nodes)
        graph.initializer.extend(tensors)
    return new


_AXIS = "axis_0"


def _rebuilt(
    name: str, shape: tuple[int, ...], gaps: NDArray[np.uint8], values: NDArray[Any]
) -> tuple[list[TensorProto], list[NodeProto]]:
    """Tensors and nodes whose last output is the weight of this name."""
    from onnx import TensorProto, helper, numpy_helper

    size = np.array([math.prod(shape)], np.int64)
    tensors = [
        numpy_helper.from_array(gaps, f"{name}.gaps"),
        numpy_helper.from_array(values, f"{name}.values"),
        numpy_helper.from_array(size, f"{name}.size"),
        numpy_helper.from_array(np.array(shape, np.int64), f"{name}.shape"),
    ]
    zero = numpy_helper.from_array(np.zeros(1, values.dtype))
    filled: dict[str, Any] = (
        {} if values.dtype == np.float32 else {"value": zero}
    )  # floats are the default
    wide, places, zeros, flat = (f"{name}.{part}" for part in ("wide", "places", "zeros", "flat"))
    nodes = [
        helper.make_node("Cast", [f"{name}.gaps"], [wide], to=TensorProto.INT32),
        helper.make_node("CumSum", [wide, _AXIS], [places]),
        helper.make_node("ConstantOfShape", [f"{name}.size"], [zeros], **filled),
        helper.make_node("ScatterElements", [zeros, places, f"{name}.values"], [flat]),
        helper.make_node("Reshape", [flat, f"{name}.shape"], [name]),
    ]
    return tensors, nodes


def stripped(model: ModelProto) -> ModelProto:
    """Leave out what an exporter notes of nodes and values, which nothing computes with.

    Args:
        model: A model; it stays as it is.

    Returns:
        The same without doc strings, without metadata of its graph, nodes and values, and
        without the shapes of values inside. Metadata of the model itself stays.
    """
    import onnx

    new = onnx.ModelProto()
    new.CopyFrom(model)
    graph = new.graph
    for holder in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        holder.ClearField("doc_string")
        holder.ClearField("metadata_props")
    for node in graph.node:
        node.ClearField("name")
    graph.ClearField("value_info")
    return new
