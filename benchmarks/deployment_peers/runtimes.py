"""All of them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from deployment_peers.emlearn_c import EMLEARN
from deployment_peers.emx import EMX
from deployment_peers.executorch_runtime import EXECUTORCH
from deployment_peers.openvino_runtime import OPENVINO, OPENVINO_SPARSE
from deployment_peers.own import OWN_C, OWN_ONNX
from deployment_peers.subject import CSource, Runtime

__all__ = ["PEERS", "RUNTIMES", "SOURCES", "installed"]

PEERS = ("emlearn", "emx-onnx-cgen", "executorch", "openvino")
"""Distributions of the extra ``peers``."""

RUNTIMES: tuple[Runtime, ...] = (OWN_ONNX, OPENVINO, OPENVINO_SPARSE, EXECUTORCH)
SOURCES: tuple[CSource, ...] = (OWN_C, EMX, EMLEARN)


def installed() -> dict[str, str]:
    """Peers that are here → version."""
    found = {}
    for name in PEERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
