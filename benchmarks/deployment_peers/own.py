"""This package's files: C, and ONNX in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

from deployment_peers.subject import CSource, Run, Runtime, Subject
from offline_prune.export import export_policy
from offline_prune.export.c.c99 import C99
from offline_prune.export.onnx.onnx_format import ONNX

__all__ = ["OWN_C", "OWN_ONNX"]


def _write_c(subject: Subject, dtype: str, folder: Path) -> None:
    export_policy(subject.algo, folder / "policy.c", subject.observations, dtype=dtype)


def _write_onnx(subject: Subject, dtype: str, folder: Path) -> list[Path]:
    path = folder / "policy.onnx"
    export_policy(subject.algo, path, subject.observations, dtype=dtype)
    return [path]


def _open_onnx(paths: list[Path]) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(paths[0], options, providers=["CPUExecutionProvider"])

    def run(x: object) -> object:
        return session.run(None, {"observation": x})[0]

    return run  # type: ignore[return-value]


OWN_C = CSource("offline_prune, C", "offline_prune", C99.dtypes, _write_c)
OWN_ONNX = Runtime(
    "offline_prune, ONNX Runtime", "onnxruntime", ONNX.dtypes, _write_onnx, _open_onnx
)
