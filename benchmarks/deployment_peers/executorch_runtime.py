"""ExecuTorch with XNNPACK: a program for each size of a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from deployment_peers.subject import Run, Runtime, Subject

__all__ = ["EXECUTORCH"]


def _write(subject: Subject, dtype: str, folder: Path) -> list[Path]:
    paths = []
    for batch in (1, 256):
        path = folder / f"policy_{batch}.pte"
        path.write_bytes(_program(subject, dtype, batch))
        paths.append(path)
    return paths[:1]  # either is deployed; the other lies beside it


def _program(subject: Subject, dtype: str, batch: int) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    example = (torch.from_numpy(subject.rows[:batch].copy()),)
    program = torch.export.export(subject.policy, example)
    if dtype == "int8":
        program = torch.export.export(_quantised(program, subject.observations, batch), example)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    return bytes(lowered.to_executorch().buffer)


def _quantised(program: Any, observations: Any, batch: int) -> Any:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer()
    quantizer.set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(program.module(), quantizer)
    for i in range(0, len(observations) - batch + 1, max(batch, 16)):
        prepared(torch.from_numpy(observations[i : i + batch].copy()))
    return convert_pt2e(prepared)


def _open(paths: list[Path]) -> Run:
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime as Execution

    _unsafe_reset_threadpool(1)  # else one thread for each core of the machine, idle or not
    files = {n: paths[0].with_name(f"policy_{n}.pte") for n in (1, 256)}
    loaded = {n: Execution.get().load_program(file) for n, file in files.items()}
    methods = {n: (program.load_method("forward"), program) for n, program in loaded.items()}

    def run(x: Any) -> Any:
        method, _ = methods[len(x)]  # a method is of use as long as its program is there
        return np.asarray(method.execute([torch.from_numpy(x)])[0])

    return run


EXECUTORCH = Runtime("ExecuTorch, XNNPACK", "executorch", ("float32", "int8"), _write, _open)
