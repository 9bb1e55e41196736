"""ONNX with weights of float16, which a runtime makes float32 when it opens the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from offline_prune.export.float16 import as_half

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["LINEAR", "half_weights"]

LINEAR = ("Conv", "Gemm", "MatMul")
"""Operators with weights."""


def half_weights(model: ModelProto) -> ModelProto:
    """Store weights as float16, with a ``Cast`` behind each; all else is computed as before.

    Args:
        model: With its weights inside; it stays as it is. What linear layers and convolutions read
            is rounded where it is of 32-bit floats and two dimensions or more.

    Returns:
        The model of these weights.

    Raises:
        UnsupportedExportError: If one is too large for float16.
    """
    import onnx
    from onnx import helper, numpy_helper

    new = onnx.ModelProto()
    new.CopyFrom(model)
    read = {name for node in new.graph.node if node.op_type in LINEAR for name in node.input}
    casts = []
    for tensor in new.graph.initializer:
        name = tensor.name
        is_float = tensor.data_type == onnx.TensorProto.FLOAT
        if not is_float or len(tensor.dims) < 2 or name not in read:
            continue
        weight = as_half(torch.from_numpy(numpy_helper.to_array(tensor).copy())).numpy()
        tensor.CopyFrom(numpy_helper.from_array(weight.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *new.graph.node]
    del new.graph.node[:]
    new.graph.node.extend(nodes)
    return new
