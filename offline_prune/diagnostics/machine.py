"""What of this package a machine can run, and what would make it faster."""

from __future__ import annotations

import importlib.util
import os
import time
from dataclasses import dataclass

import torch

from offline_prune.base.versions import versions
from offline_prune.data.made.store import local_path
from offline_prune.engines.sparse_mlp import SparseMLP, kernels_available
from offline_prune.engines.wiring import relu_layers
from offline_prune.export.c.library import c_compiler

__all__ = ["Finding", "examine_machine"]

_EXTRAS = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "sweep": ("loky", "pyarrow"),
    "ray": ("ray",),
    "structured": ("torch_pruning",),
    "plot": ("matplotlib",),
    "minatar": ("minatar",),
    "games": ("envpool", "ale_py", "cv2"),
    "online": ("stable_baselines3", "sb3_contrib"),
}
_WIDTH, _BATCH, _DENSITY, _TIMES = 256, 256, 0.05, 20


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What.
        found: What is there.
        advice: What to do about it; empty where nothing is missing.
    """

    subject: str
    found: str
    advice: str = ""


def examine_machine() -> list[Finding]:
    """Look at versions, sparse kernels, threads, folders, the GPU and optional packages.

    The sparse kernels are compiled if they have not been yet, run once forward and back on
    a 256-256 network at 95 % and compared with dense layers of torch.

    Returns:
        What was found, in that order.
    """
    return [_versions(), _kernels(), _threads(), _gpu(), _datasets(), _compiler(), *_extras()]


def _versions() -> Finding:
    found = versions("offline-prune", "d3rlpy", "minari", "torch", "gymnasium", "numpy", "numba")
    return Finding("versions", ", ".join(f"{name} {version}" for name, version in found.items()))


def _kernels() -> Finding:
    subject = "sparse kernels"
    if not kernels_available():
        return Finding(
            subject,
            "numba is not installed: pruned networks train as dense layers of the live size",
            'pip install "offline-prune[fast]"',
        )
    generator = torch.Generator().manual_seed(0)
    shapes = ((_WIDTH, 17), (_WIDTH, _WIDTH), (6, _WIDTH))
    masks = [torch.rand(shape, generator=generator) < _DENSITY for shape in shapes]
    size = sum(int(mask.sum()) + len(mask) for mask in masks)
    network = SparseMLP(relu_layers(masks), torch.randn(size, generator=generator) / _WIDTH**0.5)
    x = torch.randn(_BATCH, 17, generator=generator)
    first = _timed(network, x)
    sparse, theta = network(x), network.theta
    dense = network.as_dense_layers(x)
    slopes = [torch.autograd.grad(out.sum(), theta)[0] for out in (sparse, dense)]
    apart = max(
        float((sparse - dense).detach().abs().max()),
        float((slopes[0] - slopes[1]).abs().max() / slopes[1].abs().max()),
    )
    if apart > 1e-4:
        return Finding(
            subject,
            f"they differ from torch's layers by {apart:.0e}",
            "take engine='compact' and report this with the versions above",
        )
    once = min(_timed(network, x) for _ in range(_TIMES))
    said = f"work: forward and back in {1e6 * once:.0f} µs, {apart:.0e} from torch's layers"
    if not _cache_is_writable():
        return Finding(
            subject,
            f"{said}; they are compiled anew by every process ({first:.0f} s)",
            "make the folder of the package, or the one NUMBA_CACHE_DIR names, writable",
        )
    return Finding(subject, said)


def _timed(network: SparseMLP, x: torch.Tensor) -> float:
    start = time.perf_counter()
    network(x).sum().backward()
    return time.perf_counter() - start


def _cache_is_writable() -> bool:
    from offline_prune.engines import sparse_kernels

    return getattr(sparse_kernels.forward, "stats", None) is not None and bool(
        sparse_kernels.forward.stats.cache_path  # type: ignore[attr-defined]
    )


def _threads() -> Finding:
    # Not every system says which cores a process may use.
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    threads = torch.get_num_threads()
    found = f"{threads} of torch, {cores} cores"
    if threads > cores:
        return Finding("threads", found, f"OMP_NUM_THREADS={cores}: more threads than cores wait")
    return Finding("threads", f"{found}; the sparse kernels use one, a sweep one a worker")


def _gpu() -> Finding:
    if not torch.cuda.is_available():
        return Finding("GPU", "none that torch sees: device='cpu', where sparse networks are fast")
    return Finding(
        "GPU", f"{torch.cuda.get_device_name()}; there dense layers of the live size are trained"
    )


def _datasets() -> Finding:
    root = local_path("x/y-v0").parents[1]
    existing = next(path for path in (root, *root.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return Finding("datasets", f"{root} cannot be written", "set MINARI_DATASETS_PATH")
    return Finding("datasets", str(root))


def _compiler() -> Finding:
    found = c_compiler()
    if found is None:
        return Finding(
            "C compiler", "none: policies are exported to C unchecked", "install cc, gcc or clang"
        )
    return Finding("C compiler", found)


def _extras() -> list[Finding]:
    missing = {
        extra: [name for name in names if importlib.util.find_spec(name) is None]
        for extra, names in _EXTRAS.items()
    }
    return [
        Finding(
            f"extra {extra}", f"{', '.join(names)} missing", f'pip install "offline-prune[{extra}]"'
        )
        for extra, names in missing.items()
        if names
    ]
