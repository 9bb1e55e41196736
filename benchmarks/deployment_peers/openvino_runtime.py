"""OpenVINO, which reads ONNX; with its option for sparse weights as well."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from deployment_peers.subject import Run, Runtime, Subject

__all__ = ["OPENVINO", "OPENVINO_SPARSE"]


def _write(subject: Subject, dtype: str, folder: Path) -> list[Path]:
    import openvino

    path = folder / "policy.xml"
    openvino.save_model(openvino.Core().read_model(subject.onnx(dtype, folder)), path, False)
    return [path, path.with_suffix(".bin")]


def _open(paths: list[Path], **options: Any) -> Run:
    import openvino

    options = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    } | options
    options["INFERENCE_PRECISION_HINT"] = "f32"
    request = openvino.Core().compile_model(paths[0], "CPU", options).create_infer_request()

    def run(x: Any) -> Any:
        return request.infer(x, share_inputs=True, share_outputs=True)[0]

    return run


OPENVINO = Runtime("OpenVINO", "openvino", ("float32", "int8"), _write, _open)
OPENVINO_SPARSE = Runtime(
    "OpenVINO, sparse weights",
    "openvino",
    ("int8",),
    _write,
    partial(_open, CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE=0.5),
)
