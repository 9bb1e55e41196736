"""Latency and size of acting policies: d3rlpy, ONNX Runtime and C; dense and pruned.

python benchmarks/inference.py [--only TEXT] [--out FILE]

About five minutes. Times are processor time: what else runs on the machine takes
turns with it, but fills its caches. Needs a C compiler and the extra ``onnx``.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import d3rlpy
import numpy as np
import onnxruntime
import torch
from compiling import compile_c
from numpy.typing import NDArray
from peak import peak_multiply_adds
from torch import nn
from training_speed import noise_images

from offline_prune import load_dataset, prune, prune_then_train
from offline_prune.base.atomic import written_aside
from offline_prune.export import acting_policy, export_policy

RESULTS = Path(__file__).parent / "results" / "inference.md"
VECTORS = "halfcheetah/medium-small-v0"
WIDTHS = {"256-256": [256, 256], "1024-1024-1024": [1024] * 3}
SPARSITIES = (0.0, 0.9, 0.95, 0.99)
BATCHES = (1, 256)
STRUCTURED = "structured(begin=0.0, end=0.5, multiple=16)"
# A measurement is the median of rounds of so many seconds, taken in turn; fewer where one
# round of all takes long.
ROUNDS, FEWEST, SECONDS, LONG = 25, 5, 0.02, 8.0

TIMER = """
#define _POSIX_C_SOURCE 199309L
#include <time.h>
#include "policy.c"

#ifdef DISCRETE
typedef int action_type;
#define ACT(x, a) (*(a) = policy_act(x))
#else
typedef float action_type;
#define ACT(x, a) policy_act(x, a)
#endif

/* Seconds of one call, over so many of them; single observations take turns. */
double seconds(int calls, int batch, int rows, const float *observations, action_type *actions)
{
    struct timespec start, stop;
    int i;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    for (i = 0; i < calls; i++)
        if (batch == 1)
            ACT(observations + (i % rows) * POLICY_OBSERVATION_SIZE, actions);
        else
            policy_act_batch(batch, observations, actions);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &stop);
    return ((stop.tv_sec - start.tv_sec) + 1e-9 * (stop.tv_nsec - start.tv_nsec)) / calls;
}
"""

Timer = Callable[[int, int], float]
"""(calls, batch) → seconds of one call."""


@dataclass(frozen=True)
class Network:
    """An agent whose acting policy is measured.

    Attributes:
        name: Of the network, equal for those that are compared.
        sparsity: What was asked for.
        algo: The d3rlpy algorithm.
        observations: (256, *observation shape).
    """

    name: str
    sparsity: float
    algo: Any
    observations: NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """One network in one runtime.

    Attributes:
        network: The network.
        runtime: ``"d3rlpy"``, ``"ONNX"`` or ``"C"``.
        timer: Runs it.
        size: Bytes of the file; None for d3rlpy.
        compiled: Bytes of the object file of C; None for others.
    """

    network: Network
    runtime: str
    timer: Timer
    size: int | None = None
    compiled: int | None = None


def vector_networks(only: str) -> list[Network]:
    """BC policies with SNIP masks, untrained: times look at masks and shapes alone."""
    found = []
    for name, hidden_units in WIDTHS.items():
        if only not in name:
            continue
        data = load_dataset(VECTORS)
        for sparsity in SPARSITIES:
            params = {"hidden_units": hidden_units}
            agent, _ = prune(data, "bc", sparsity, method="snip", algo_params=params)
            agent.engine.detach()
            found.append(Network(name, sparsity, agent.algo, _rows(data.observations)))
    return found


def image_networks(only: str) -> list[Network]:
    """Discrete CQL agents, dense and after structured pruning; noise for images."""
    found = []
    for shape, encoders in (
        ((4, 84, 84), ("nature", "impala")),
        ((3, 64, 64), ("impala", "impoola")),
        ((4, 10, 10), ("impala",)),
    ):
        for encoder in encoders:
            name = f"{encoder}{'' if encoder == 'nature' else ' ×2'}, {shape[1]}×{shape[2]}"
            if only not in name:
                continue
            data = noise_images(shape)
            for sparsity in (0.0, 0.8, 0.95):
                result = prune_then_train(
                    data,
                    "cql",
                    sparsity,
                    method=STRUCTURED if sparsity else "random",
                    n_steps=2,
                    evaluate=0,
                    algo_params={
                        "encoder": encoder,
                        "encoder_width": 1 if encoder == "nature" else 2,
                        "observation_scaler": "pixel",
                        "batch_size": 2,
                    },
                    progress=False,
                )
                found.append(Network(name, sparsity, result.algo, _rows(data.observations)))
    return found


def d3rlpy_timer(network: Network) -> Timer:
    """``algo.predict``."""
    return python_timer(network.algo.predict, network.observations)


def onnx_timer(path: Path, observations: NDArray[np.float32]) -> Timer:
    """ONNX Runtime's ``run``, one thread, everything else as it comes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return python_timer(lambda x: session.run(None, {"observation": x}), observations)


def c_timer(folder: Path, observations: NDArray[np.float32], *, discrete: bool) -> Timer:
    """The file ``policy.c`` of a folder, timed inside C."""
    (folder / "timer.c").write_text(TIMER)
    library = folder / f"timer-{time.monotonic_ns()}.so"
    compile_c(
        folder,
        *("-O3", "-march=native", "-shared", "-fPIC", "-o", library.name, "timer.c", "-lm"),
        *(["-DDISCRETE"] if discrete else []),
    )
    seconds = ctypes.CDLL(str(library)).seconds
    seconds.restype = ctypes.c_double
    rows = np.ascontiguousarray(observations, dtype=np.float32)
    actions = np.zeros((len(rows), 64), dtype=np.float32)
    source, target = (ctypes.c_void_p(a.ctypes.data) for a in (rows, actions))

    def timer(calls: int, batch: int) -> float:
        assert rows.size
        assert actions.size  # the pointers above are into these two
        return float(seconds(calls, batch, len(rows), source, target))

    return timer


def medians(timers: Sequence[Timer], batch: int) -> list[float]:
    """Microseconds of one call of each, rounds taken in turn."""
    once = [min(timer(1, batch) for _ in range(2)) for timer in timers]
    calls = [max(1, round(SECONDS / seconds)) for seconds in once]
    rounds = min(ROUNDS, max(FEWEST, round(LONG / sum(max(SECONDS, s) for s in once))))
    times: list[list[float]] = [[] for _ in timers]
    for _ in range(rounds):
        for timer, n, found in zip(timers, calls, times, strict=True):
            found.append(timer(n, batch))
    return [1e6 * float(np.median(found)) for found in times]


def multiply_adds(algo: Any, observations: NDArray[np.float32]) -> tuple[int, int]:
    """Multiply-adds of one observation: with kept weights alone, and with the file's layers."""
    policy = acting_policy(algo)
    kept = stored = 0

    def count(module: Any, _: Any, output: torch.Tensor) -> None:
        nonlocal kept, stored
        positions = math.prod(output.shape[2:])
        kept += positions * int(module.weight.count_nonzero())
        stored += positions * module.weight.numel()

    for module in policy.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        policy(torch.from_numpy(observations[:1]))
    return kept, stored


def measure(networks: Sequence[Network], folder: Path) -> list[Measured]:
    """Every runtime of networks of one name; d3rlpy runs the dense one only."""
    found = []
    for network in networks:
        onnx, source = folder / f"{network.sparsity}.onnx", folder / "policy.c"
        export_policy(network.algo, onnx, network.observations)
        export_policy(network.algo, source, network.observations)
        compile_c(folder, "-Os", "-c", "-o", "policy.o", "policy.c")
        if not network.sparsity:
            found.append(Measured(network, "d3rlpy", d3rlpy_timer(network)))
        onnx_run = onnx_timer(onnx, network.observations)
        found.append(Measured(network, "ONNX", onnx_run, onnx.stat().st_size))
        sizes = source.stat().st_size, (folder / "policy.o").stat().st_size
        discrete = network.algo.get_action_type() == d3rlpy.ActionSpace.DISCRETE
        c_run = c_timer(folder, network.observations, discrete=discrete)
        found.append(Measured(network, "C", c_run, *sizes))
    return found


def table(title: str, networks: Sequence[Network], peak: float) -> list[str]:
    """Rows of networks of one name."""
    with tempfile.TemporaryDirectory() as name:
        measured = measure(networks, Path(name))
        times = {batch: medians([m.timer for m in measured], batch) for batch in BATCHES}
    dense = next(
        i for i, m in enumerate(measured) if m.runtime == "ONNX" and not m.network.sparsity
    )
    sizes = {m.runtime: (m.size, m.compiled) for m in measured if not m.network.sparsity}
    lines = []
    for i, m in enumerate(measured):
        cells = [title, f"{m.network.sparsity:.0%}", m.runtime]
        for batch in BATCHES:
            here = times[batch][i]
            cells += [f"{here:.3g}" if here < 1e3 else f"{here:,.0f}"]
            cells += [f"{times[batch][dense] / here:.2f}×"]
        kept, stored = multiply_adds(m.network.algo, m.network.observations)
        sums = kept if m.runtime == "C" else stored
        share = sums / (1e-6 * times[1][i] * peak)
        cells += ["" if m.runtime == "d3rlpy" else f"{sums:,}, {share:.0%}"]
        cells += [_share(m.size, sizes[m.runtime][0]), _share(m.compiled, sizes[m.runtime][1])]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", default="", help="networks whose name has it; rows of others stay"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    peak = peak_multiply_adds()
    lines = [
        "# Inference",
        "",
        "One action (batch 1) and 256 at once, one CPU thread: µs a call, and the dense",
        "network's time in ONNX Runtime over it (above 1× is faster). Medians of"
        f" {FEWEST} to {ROUNDS}",
        "rounds, taken in turn in one process, of processor time. ONNX Runtime",
        "and d3rlpy are called from Python, C is timed inside C (`-O3 -march=native`). Compare",
        "rows of one network; those of others may come from another run and processor.",
        "",
        f"Vectors: BC on `{VECTORS}`, SNIP masks. Images: discrete CQL, the encoder and its",
        "width named, `structured(multiple=16)`; the sparsity is one of weights. Multiply-adds",
        "are those of one observation, of kept weights in C, of the stored layers in ONNX; and",
        "what share they are, at batch 1, of those that the core does in a loop of nothing else,",
        f"{peak / 1e9:.1f} billion a second. Sizes are those of the file and of C compiled with",
        "`-Os`, and their share of the dense one's. Made by `python benchmarks/inference.py`.",
        "",
        "| network | sparsity | runtime | batch 1, µs | | batch 256, µs | | multiply-adds"
        " | file | compiled |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    rows = _rows_of(arguments.out) if arguments.only else {}
    networks = [*vector_networks(arguments.only), *image_networks(arguments.only)]
    for name in dict.fromkeys(network.name for network in networks):
        rows[name] = table(name, [n for n in networks if n.name == name], peak)
    lines += [line for found in rows.values() for line in found]
    with written_aside(arguments.out) as aside:
        aside.write_text("\n".join(lines) + "\n")


def _rows_of(page: Path) -> dict[str, list[str]]:
    """Rows of a page by the name of their network."""
    found: dict[str, list[str]] = {}
    for line in page.read_text().splitlines():
        if line.startswith("| ") and not line.startswith("| network"):
            found.setdefault(line[2:].partition(" | ")[0], []).append(line)
    return found


def _rows(observations: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(observations[:256], dtype=np.float32)


def python_timer(run: Callable[[Any], object], observations: NDArray[np.float32]) -> Timer:
    """Whatever takes a batch; single observations take turns."""
    single = [observations[i : i + 1] for i in range(len(observations))]

    def timer(calls: int, batch: int) -> float:
        start = time.process_time()  # of all threads: some runtimes have their own
        if batch == 1:
            for i in range(calls):
                run(single[i % len(single)])
        else:
            for _ in range(calls):
                run(observations[:batch])
        return (time.process_time() - start) / calls

    return timer


def _share(size: int | None, dense: int | None) -> str:
    if size is None or dense is None:
        return ""
    return f"{size / 1e3:,.0f} kB, {size / dense:.1%}"


if __name__ == "__main__":
    main()
