"""Acting policies in this package's files and in other runtimes: time, size and memory.

python benchmarks/inference_peers.py [--out FILE] [--only 256-256]

Other runtimes are rows where the extra ``peers`` is installed; memory of C is counted where a
Cortex-M4F can be emulated (``make system-packages``). About nine minutes; nothing else should run
meanwhile, though everything of a table is measured in turn.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from compiling import compile_c
from deployment_peers.memory import growth
from deployment_peers.runtimes import RUNTIMES, SOURCES, installed
from deployment_peers.subject import CSource, Runtime, Subject
from inference import (
    BATCHES,
    VECTORS,
    WIDTHS,
    Timer,
    c_timer,
    medians,
    python_timer,
)

from offline_prune import load_dataset, prune
from offline_prune.base.atomic import written_aside
from offline_prune.export.c.library import open_c
from tests.export.c.target.boards import BOARDS, build, run

RESULTS = Path(__file__).parent / "results" / "inference_peers.md"
SPARSITIES = (0.0, 0.95)
DTYPES = ("float32", "int8")
M4F, DECISIONS = BOARDS["cortex-m4f"], 8
BOARD = replace(M4F, flags=(*M4F.flags, "-mfp16-format=ieee"))  # C of emx-onnx-cgen has these
CALIBRATION = 2048
STACK = 100 << 20
HEAD = """\
# Inference beside other runtimes

One action (batch 1) and 256 at once, one CPU core, weights of float32 and int8: µs a call, medians
of rounds taken in turn in one process; and how many times as long it takes as the fastest of this
package's two files with such weights. Made by `{command}`,
{peers}.
Load of the machine: {load}. Where it is busy, times are long, and only how
they compare counts.

BC on `{vectors}` with the default masks. Peers get the live layers that are
left of a pruned agent, dense: none of them has a sparse product for such policies. ONNX Runtime,
OpenVINO and ExecuTorch are called from Python, C is timed inside C (`-O3 -march=native`; emlearn
and emx-onnx-cgen write C too). int8 of OpenVINO and emx-onnx-cgen is this package's QDQ file, of
ExecuTorch its own quantiser. ExecuTorch has a program, and emx-onnx-cgen a function, for each size
of a batch; the size is that of one. emlearn computes in floats alone: the sums of its fixed-point
networks are commented out in 0.23.2. Apart is how far an action, from -1 to 1, is from the agent's
at most.

Size: of what is deployed beside the runtime; of C the object file (`-Os`). RAM: of C the stack of
a decision and what is static, on an emulated Cortex-M4F with 4 MB of flash and 12 KiB of stack; of
runtimes what a process of Python with torch grows by until its first decision, the runtime
included.
"""


@dataclass(frozen=True)
class Contender:
    """An agent in a runtime.

    Attributes:
        title: Of the runtime.
        dtype: Of the weights.
        apart: Largest difference of an action.
        timer: Runs it.
        size: Bytes.
        memory: In words.
    """

    title: str
    dtype: str
    apart: float
    timer: Timer
    size: int
    memory: str


def of_runtime(runtime: Runtime, subject: Subject, dtype: str, folder: Path) -> Contender:
    """A runtime that is called from Python."""
    files = runtime.write(subject, dtype, folder)
    decide = runtime.open(files)
    np.save(folder / "rows.npy", subject.rows)
    memory = growth(RUNTIMES.index(runtime), folder / "rows.npy", files)
    return Contender(
        runtime.title,
        dtype,
        float(np.abs(decide(subject.rows) - subject.algo.predict(subject.rows)).max()),
        python_timer(decide, subject.rows),
        sum(file.stat().st_size for file in files),
        f"{memory:.1f} MB",
    )


def of_source(source: CSource, subject: Subject, dtype: str, folder: Path) -> Contender:
    """C, compiled."""
    source.write(subject, dtype, folder)
    one = next(p for name in ("one.c", "policy.c") if (p := folder / name).is_file())
    compile_c(folder, "-Os", "-c", "-o", "one.o", one.name)
    (act, _) = open_c(folder / "policy.c", subject.policy)
    return Contender(
        source.title,
        dtype,
        float(np.abs(act(subject.rows) - subject.algo.predict(subject.rows)).max()),
        c_timer(folder, subject.rows, discrete=False),
        (folder / "one.o").stat().st_size,
        _on_board(one, subject, folder),
    )


def _on_board(source: Path, subject: Subject, folder: Path) -> str:
    if BOARD.missing() is not None:
        return ""
    try:
        image = build(BOARD, source, folder, discrete=False)
    except subprocess.CalledProcessError:
        return "does not fit"
    try:
        done = run(image, subject.rows[:DECISIONS])
    except subprocess.CalledProcessError:  # it faults
        return "over 12 KiB"
    assert done.stack is not None
    return f"{image.static + done.stack:,} B"


def contenders(subject: Subject, folder: Path) -> list[Contender]:
    """One agent in everything that is installed."""
    found: list[Contender] = []
    kinds: list[CSource | Runtime] = [*SOURCES, *RUNTIMES]
    for dtype in DTYPES:
        for kind in kinds:
            here = importlib.util.find_spec(kind.package) is not None
            if not here or dtype not in kind.dtypes:
                continue
            place = folder / f"{len(found)}"
            place.mkdir()
            if isinstance(kind, CSource):
                found.append(of_source(kind, subject, dtype, place))
            else:
                found.append(of_runtime(kind, subject, dtype, place))
    return found


def table(name: str, sparsity: float) -> list[str]:
    """Rows of one agent."""
    data = load_dataset(VECTORS)
    agent, _ = prune(data, "bc", sparsity, algo_params={"hidden_units": WIDTHS[name]})
    agent.engine.detach()
    step = len(data) // CALIBRATION
    rows = np.ascontiguousarray(data.observations[::step], dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        found = contenders(Subject(agent.algo, rows), Path(folder))
        times = {batch: medians([one.timer for one in found], batch) for batch in BATCHES}
    lines = []
    for i, one in enumerate(found):
        cells = [name, f"{sparsity:.0%}", one.dtype, one.title]
        for batch in BATCHES:
            alike = [t for t, c in zip(times[batch], found, strict=True) if _ours(c, one.dtype)]
            cells += [f"{times[batch][i]:,.3g}", f"{times[batch][i] / min(alike):.2f}×"]
        cells += [f"{one.size / 1e3:,.1f} kB", one.memory, f"{one.apart:.1g}"]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return lines


def _ours(contender: Contender, dtype: str) -> bool:
    return contender.title.startswith("offline_prune") and contender.dtype == dtype


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--only", nargs="*", choices=WIDTHS, default=list(WIDTHS))
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # runtimes have pools of their own
    # emx-onnx-cgen's int8 has a layer's weights as floats on the stack: 4 MB of 1024 × 1024.
    resource.setrlimit(resource.RLIMIT_STACK, (STACK, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    lines = page(arguments.only)
    with written_aside(arguments.out) as aside:
        aside.write_text("\n".join(lines) + "\n")


def page(names: Sequence[str]) -> list[str]:
    """The whole page."""
    found = installed()
    peers = ", ".join(f"{name} {number}" for name, number in found.items()) or "no peer installed"
    command = "python benchmarks/inference_peers.py"
    if list(names) != list(WIDTHS):
        command += f" --only {' '.join(names)}"
    before = os.getloadavg()[0]
    rows = [line for name in names for s in SPARSITIES for line in table(name, s)]
    load = f"{before:.1f} and {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    head = HEAD.format(peers=f"with {peers}", vectors=VECTORS, command=command, load=load)
    return [
        *head.splitlines(),
        "",
        "| network | sparsity | weights | runtime | batch 1, µs | | batch 256, µs | | size | RAM"
        " | apart |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]


if __name__ == "__main__":
    main()
