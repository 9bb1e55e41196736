"""What the structure of a mask does to return, live units and latency.

    python benchmarks/mask_structure.py returns    # trains the cells that are missing
    python benchmarks/mask_structure.py latencies

The first takes about twenty minutes on one core, the second some ten, most of them for masks of
the wide network. Either writes the page of what both came to. Latencies need a C compiler and
the extra ``onnx``; they are ratios, measured in turn in one process.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from inference import Network, Timer, c_timer, multiply_adds, onnx_timer
from online_cells import RESULTS, records, run_cells, spread

from offline_prune import load_dataset, prune, prune_then_train
from offline_prune.base.atomic import written_aside
from offline_prune.export import export_policy

DATASET = "halfcheetah/medium-small-v0"
STUDY = "mask_structure"
LATENCIES = RESULTS / f"{STUDY}_latencies.txt"
SEEDS = (0, 1, 2)
STEPS = {"bc": 6_000, "iql": 4_000}
SPARSITY = 0.95
UNITS = ("units(density=0.3)", "units", "units(density=0.8)", "units(density=1)")
# SNIP-Flow is the default call. Under one threshold SNIP's blocks leave no path; a third of the
# weights between SNIP-Flow's live units is kept anyway.
FLOW = (None, *UNITS[1:], "block(4, 8)", "block(16, 16)", "2:4", "1:16")
SNIP = (None, *UNITS[:2])
TRAINED: dict[str, dict[str, tuple[str | None, ...]]] = {
    "bc": {"snip_flow": FLOW, "snip": SNIP},
    "iql": {"snip_flow": (None, "units", "block(4, 8)", "2:4")},
}
ONE_UNIT = "dense, one unit a layer"
# Short rounds: on a busy machine some of them run undisturbed.
ROUNDS, ROUND_SECONDS = 400, 1e-3
WIDTHS = {"256-256": [256, 256], "1024-1024-1024": [1024] * 3}
TIMED: dict[str, dict[str, tuple[str | None, ...]]] = {
    "256-256": {"snip_flow": FLOW, "snip": (None, *UNITS, "2:4", "1:16")},
    "1024-1024-1024": {"snip_flow": (None, "units"), "snip": (None, *UNITS, "2:4", "1:16")},
}


def cells() -> Iterator[dict[str, Any]]:
    """Dense, and every structure of every method."""
    for algo, seed in product(STEPS, SEEDS):
        yield {"algo": algo, "method": "dense", "structure": None, "seed": seed}
        for method, structures in TRAINED[algo].items():
            for structure in structures:
                yield {"algo": algo, "method": method, "structure": structure, "seed": seed}


def trained(algo: str, method: str, structure: str | None, seed: int) -> dict[str, Any]:
    """One run: the mean return of ten episodes, and what its acting network keeps alive."""
    dense = method == "dense"
    result = prune_then_train(
        DATASET,
        algo,
        0.0 if dense else SPARSITY,
        method="random" if dense else method,
        structure=structure,
        seed=seed,
        n_steps=STEPS[algo],
        progress=False,
    )
    mask = result.mask["actor"]
    return {
        "return": result.evaluation.mean_return,
        "live": [units for units, _ in mask.layer_units.values()][:2],
        "connected": mask.n_connected,
    }


def returns_table() -> list[str]:
    """Rows: mean return over seeds, and the part of the dense one that is kept."""
    lines = [
        "| | mask | structure | live units | connected | return | kept |",
        "|---|---|---|---|---|---|---|",
    ]
    found = records(STUDY)
    for algo in STEPS:
        ours = [r for r in found if r["algo"] == algo]
        whole = {r["seed"]: r["return"] for r in ours if r["method"] == "dense"}
        for method, structure in dict.fromkeys((r["method"], r["structure"]) for r in ours):
            runs = [r for r in ours if (r["method"], r["structure"]) == (method, structure)]
            live = " – ".join(
                f"{np.mean(n):.0f}" for n in zip(*(r["live"] for r in runs), strict=True)
            )
            own = [r["return"] for r in runs]
            kept = np.mean(own) / np.mean([whole[r["seed"]] for r in runs])
            connected = np.mean([r["connected"] for r in runs])
            name = f"{method} | {'' if structure is None else f'`{structure}`'}"
            shown = f"{live} | {connected:,.0f} | {spread(own, 0)} | {kept:.2f}"
            lines.append(f"| {algo} | {name} | {shown} |")
    return lines


@dataclass(frozen=True)
class Arm:
    """A policy whose latency is measured.

    Attributes:
        name: Of its network.
        sparsity: What was asked for.
        method: Its pruning method; ``"dense"`` for none.
        structure: Of its mask.
        network: The policy.
        live: Live units of every hidden layer.
    """

    name: str
    sparsity: float
    method: str
    structure: str | None
    network: Network
    live: list[int]


def arms(name: str) -> Iterator[Arm]:
    """Untrained BC policies: times look at masks and shapes alone."""
    data = load_dataset(DATASET)
    rows = np.ascontiguousarray(data.observations[:256], dtype=np.float32)
    asked = [("dense", None, 0.0)] + [
        (method, structure, sparsity)
        for sparsity in (0.95, 0.99)
        for method, structures in TIMED[name].items()
        for structure in structures
    ]
    for method, structure, sparsity in [*asked, (ONE_UNIT, None, 0.0)]:
        units = [1 if method == ONE_UNIT else width for width in WIDTHS[name]]
        agent, mask = prune(
            data, "bc", sparsity, method=method if sparsity else "random", structure=structure,
            algo_params={"hidden_units": units},
        )  # fmt: skip
        agent.engine.detach()
        live = [units for units, _ in mask.layer_units.values()][:-1]
        network = Network(name, sparsity, agent.algo, rows)
        yield Arm(name, sparsity, method, structure, network, live)


def fastest(timers: Sequence[Timer]) -> list[float]:
    """Seconds of one action of each: the shortest of many short rounds, taken in turn."""
    calls = [max(1, round(ROUND_SECONDS / min(t(1, 1) for _ in range(9)))) for t in timers]
    best = [math.inf] * len(timers)
    for _ in range(ROUNDS):
        rounds = [timer(n, 1) for timer, n in zip(timers, calls, strict=True)]
        best = [min(pair) for pair in zip(best, rounds, strict=True)]
    return best


def latency_rows() -> list[str]:
    """One action of each, times faster than the dense network in ONNX Runtime."""
    lines: list[str] = []
    for name in WIDTHS:
        found = list(arms(name))
        with tempfile.TemporaryDirectory() as folder:
            timers = []
            for number, arm in enumerate(found):
                own = Path(folder) / str(number)
                own.mkdir()
                for file in ("policy.onnx", "policy.c"):
                    export_policy(arm.network.algo, own / file, arm.network.observations)
                timers += [
                    onnx_timer(own / "policy.onnx", arm.network.observations),
                    c_timer(own, arm.network.observations, discrete=False),
                ]
            timers.append(onnx_timer(empty_graph(Path(folder)), found[0].network.observations))
            times = fastest(timers)
        for number, arm in enumerate(found):
            in_onnx, in_c = (times[0] / t for t in times[2 * number : 2 * number + 2])
            _, stored = multiply_adds(arm.network.algo, arm.network.observations)
            lines.append(
                f"| {name} | {arm.sparsity:.0%} | {arm.method} |"
                f" {'' if arm.structure is None else f'`{arm.structure}`'} |"
                f" {' – '.join(map(str, arm.live))} | {stored:,} | {in_onnx:.2f}× | {in_c:.1f}× |"
            )
        lines.append(f"| {name} | | an empty graph | | | 0 | {times[0] / times[-1]:.2f}× | |")
        print(*lines[-len(found) - 1 :], sep="\n", flush=True)
    return lines


def empty_graph(folder: Path) -> Path:
    """An ONNX file that puts out what it is given."""
    observation, action = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", None])
        for name in ("observation", "action")
    )
    node = onnx.helper.make_node("Identity", ["observation"], ["action"])
    graph = onnx.helper.make_graph([node], "empty", [observation], [action])
    model = onnx.helper.make_model(
        graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)]
    )
    onnx.save(model, folder / "empty.onnx")
    return folder / "empty.onnx"


LATENCY_HEAD = (
    "| network | sparsity | mask | structure | live units | between them | ONNX | C |",
    "|---|---|---|---|---|---|---|---|",
)
PREFACE = f"""# Structures of masks

What `structure=` does to return, live units and latency at the same number of kept weights.
Made by `python benchmarks/mask_structure.py returns` and `… latencies`.

## Return

`{DATASET}`, 256-256, {SPARSITY:.0%}; {STEPS["bc"]:,} gradient steps of BC and
{STEPS["iql"]:,} of IQL, everything else as without a word, `snip_flow` being the default's method.
Mean ± standard deviation over seeds (how many) of the mean return of ten episodes, and its part
of the dense agent's on the same seeds. Runs this short learn less than the recipes' own. Live units
and connected weights are those of the acting network.
"""

LATENCY = """
## Latency

One action of untrained BC policies, one CPU thread: how many times faster than the dense network
in ONNX Runtime. ONNX Runtime is called from Python, C timed inside C (`-O3 -march=native`).
Shortest of many short rounds, taken in turn in one process. "Between them" counts weights
between live units, kept or not, which is what ONNX Runtime computes; C holds layers of a density
from .4 on without gaps. The last rows are the floor: the same steps with next to nothing to
compute, and a call that does nothing (one `Identity`).
"""


def page() -> str:
    """The page of both tables."""
    latencies = LATENCIES.read_text(encoding="utf-8").splitlines() if LATENCIES.exists() else []
    return "\n".join([PREFACE, *returns_table(), LATENCY, *LATENCY_HEAD, *latencies, ""])


def main() -> None:
    """Train what is missing, or measure; write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("returns", "latencies", "page"))
    part = parser.parse_args().part
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if part == "returns":
        run_cells(STUDY, cells(), trained)
    if part == "latencies":
        rows = latency_rows()
        with written_aside(LATENCIES) as aside:
            aside.write_text("\n".join(rows) + "\n", encoding="utf-8")
    with written_aside(RESULTS / f"{STUDY}.md") as aside:
        aside.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
