"""ONNX: one file, checked with ONNX Runtime."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from offline_prune.acting.policy import ActingPolicy
from offline_prune.errors import UnsupportedExportError
from offline_prune.export.onnx.half import half_weights
from offline_prune.export.onnx.quantised import quantised
from offline_prune.export.onnx.sparse import sparse_weights, stripped
from offline_prune.export.written import ExportFormat, Runner, Writing

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["ONNX", "onnx_model"]

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def _check() -> None:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UnsupportedExportError(
            f"ONNX export needs {', '.join(missing)}: pip install"
            ' "offline-prune[onnx]". Exports to .pt and .c need nothing more.'
        )


def onnx_model(policy: ActingPolicy, writing: Writing) -> ModelProto:
    """A policy as ONNX in which every weight is stored, pruned or not.

    Args:
        policy: The policy.
        writing: Of which type weights are, on what integers are calibrated, what is noted.
    """
    example = torch.zeros(2, *policy.observation_shape)
    with _in_silence(), torch.no_grad():
        program = torch.onnx.export(
            policy,
            (example,),
            dynamo=True,
            input_names=["observation"],
            output_names=["action"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props.update(writing.about)
        model = stripped(program.model_proto)
    if writing.dtype == "float16":
        return half_weights(model)
    if writing.dtype == "int8":
        assert writing.calibration is not None
        return quantised(model, writing.calibration)
    return model


def _write(policy: ActingPolicy, path: Path, writing: Writing) -> None:
    model = sparse_weights(onnx_model(policy, writing))
    path.write_bytes(model.SerializeToString(deterministic=True))


def _open(path: Path, policy: ActingPolicy) -> tuple[Runner, ...]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )

    def run(observations: NDArray[Any]) -> NDArray[Any]:
        (found,) = session.run(None, {"observation": observations})
        return np.asarray(found)

    return (run,)


@contextlib.contextmanager
def _in_silence() -> Iterator[None]:
    """Keep the exporter from printing and from warning of its own calls."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


ONNX = ExportFormat("ONNX", _write, _open, dtypes=("float32", "float16", "int8"), check=_check)
