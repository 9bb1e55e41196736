"""Which algorithm goes with which method, engine and export: tried, and written as a page.

python -m tests.compatibility writes ``docs/compatibility.md``.
"""

from __future__ import annotations

import functools
import tempfile
import warnings
from pathlib import Path
from typing import Any

from d3rlpy.models import QRQFunctionFactory, VectorEncoderFactory

from offline_prune import prune, prune_then_train
from offline_prune.errors import OfflinePruneError
from offline_prune.export import export_policy
from offline_prune.methods import METHODS
from tests.worlds import CASES, FURTHER, PARAMS, ROUNDS, SEQUENCES, dataset, params

PAGE = Path(__file__).parents[1] / "docs" / "compatibility.md"
ALGORITHMS = [c for c in (*CASES, *FURTHER, *SEQUENCES) if c[0].startswith("vector")]
POPS = (
    "pops(steps=2, distil_steps=2, gate_interval=1, max_iterations=1, gate=agreement,"
    " objective=0, lower_bound=0)"
)
ENGINES = ("auto", "compact", "masked")


def both(factory: Any) -> dict[str, Any]:
    """TD3+BC with an encoder of one's own."""
    return {"actor_encoder_factory": factory, "critic_encoder_factory": factory}


NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "linear layers, ReLU": ("vector", {}),
    "tanh": ("vector", both(VectorEncoderFactory(activation="tanh"))),
    "swish": ("vector", both(VectorEncoderFactory(activation="swish"))),
    "GELU": ("vector", both(VectorEncoderFactory(activation="gelu"))),
    "layer normalisation": ("vector", {"encoder": "layer_norm"}),
    "SimBa": ("vector", {"encoder": "simba"}),
    "batch normalisation": ("vector", both(VectorEncoderFactory(use_batch_norm=True))),
    "dropout": ("vector", both(VectorEncoderFactory(dropout_rate=0.1))),
    "OFENet": ("vector", {"encoder": "ofenet", "ofenet": {"n_layers": 2, "units": 16}}),
    "critics of quantiles (QR)": ("vector", {"q_func_factory": QRQFunctionFactory()}),
    "Nature's convolutions": ("pixel", {"encoder": "nature"}),
    "IMPALA": ("pixel", {"encoder": "impala"}),
    "Impoola": ("pixel", {"encoder": "impoola"}),
}
HEAD = """# What works with what

Tried by `python -m tests.compatibility`, which wrote this page, and again by
`tests/test_compatibility.py`.

## Algorithms

● trains, – is refused before anything is trained, with the reason below. Observations are vectors.
The columns `auto`, `compact` and `masked` are engines, which keep pruned weights at zero while
d3rlpy trains; in them stands how an engine trains networks of two layers of 256 at 95 %: *sparse*,
on kept weights only (the fastest), *dense*, in smaller dense layers, or *masked*, in layers of the
original size ([more](design.md#in-which-form-networks-train)). Where networks differ, the actor
comes first.
"""
NETWORKS_HEAD = """
## Networks

TD3+BC with such actors and critics, 95 % of the weights pruned at random. *Connected part*: whether
units whose inputs or outputs were all pruned leave the network. *Unread units*: only those without
outputs do (after padding or normalisation a unit without inputs still puts something out).
[How much faster](../benchmarks/results/training_speed_further.md) than d3rlpy alone each form is.

| network | connected part | form | why not faster |
|---|---|---|---|"""


def tried(case: tuple[str, str], method: str) -> str:
    """``""`` if a method trains an algorithm, else what refuses it."""
    kind, algo = case
    asked = POPS if method == "pops" else ROUNDS.get(method, method)
    try:
        prune_then_train(
            dataset(kind), algo, 0.8, method=asked, n_steps=4, n_batches=1, evaluate=0,
            algo_params=params(kind, algo), progress=False,
        )  # fmt: skip
    except OfflinePruneError as error:
        return str(error)
    return ""


def forms(case: tuple[str, str], engine: str) -> str:
    """In which form an engine trains the networks of an algorithm."""
    kind, algo = case
    agent, _ = prune(
        dataset(kind), algo, 0.95, method="random", engine=engine, n_batches=1,
        algo_params=PARAMS.get(case, {}),
    )  # fmt: skip
    found = [choice.form for choice in agent.engine.forms.values()]
    agent.release()
    return ", ".join(dict.fromkeys(found))


def exported(case: tuple[str, str]) -> str:
    """``""`` if its policy can be written as a C file, else what refuses it."""
    kind, algo = case
    agent, _ = prune(dataset(kind), algo, 0.8, method="random", algo_params=params(kind, algo))
    agent.release()
    with tempfile.TemporaryDirectory() as folder:
        try:
            export_policy(agent.algo, Path(folder) / "policy.c", dataset(kind).frames[:8])
        except OfflinePruneError as error:
            return str(error)
    return ""


def network_row(name: str) -> str:
    """A line of the table of networks."""
    observed, chosen = NETWORKS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agent, mask = prune(
            dataset(f"{observed}-continuous"), "td3_plus_bc", 0.95, method="random",
            algo_params=chosen, seed=1,
        )  # fmt: skip
    lost = {n for n, kept in mask.connected.items() if bool((mask.nominal[n] & ~kept).any())}
    connected = "yes" if lost - mask.unfollowed else "unread units" if lost else "no"
    found = agent.engine.forms
    agent.release()
    forms = dict.fromkeys(choice.form for choice in found.values())
    reasons = dict.fromkeys(choice.reason for choice in found.values() if choice.reason)
    cells = [name, connected, ", ".join(forms), "; ".join(reasons)]
    return f"| {' | '.join(cells)} |"


@functools.cache
def row(case: tuple[str, str]) -> tuple[str, tuple[str, ...]]:
    """An algorithm's line of the table, and the list of what is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refusals = {method: tried(case, method) for method in METHODS}
        refusals["export"] = exported(case)
        trained = [forms(case, engine) for engine in ENGINES]
    name = f"{case[1]} ({case[0].removeprefix('vector-')})"
    marks = ["–" if refusal else "●" for refusal in refusals.values()]
    reasons: dict[str, list[str]] = {}
    for method, refusal in refusals.items():
        if refusal:
            reasons.setdefault(refusal, []).append(method)
    said = [f"    - {', '.join(m)}: {reason.split('. ')[0]}" for reason, m in reasons.items()]
    if said:
        said.insert(0, f"- {name}")
    return f"| {' | '.join([name, *trained, *marks])} |", tuple(said)


def page() -> str:
    """The whole page."""
    columns = ["algorithm", *(f"`{engine}`" for engine in ENGINES), *METHODS, "export"]
    rows = [row(case) for case in ALGORITHMS]
    return "\n".join(
        [
            HEAD,
            f"| {' | '.join(columns)} |",
            "|" + "---|" * len(columns),
            *(line for line, _ in rows),
            "",
            "What is refused, and why:",
            "",
            *(reason for _, reasons in rows for reason in reasons),
            NETWORKS_HEAD,
            *(network_row(name) for name in NETWORKS),
            "",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page())
