"""The runs of the study as its archives hold them: arms, their seeds and their curves."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from offline_prune.recipes.algorithms import find_recipe
from offline_prune.study.records import read_records

FOLDER = Path(__file__).parent
ALGOS = ("bc", "iql", "bcq", "td3_plus_bc", "cql")
NAMES = {"bc": "BC", "iql": "IQL", "bcq": "BCQ", "td3_plus_bc": "TD3+BC", "cql": "CQL"}
RECIPE = "recipe"
SCORES = {"averaged": "normalized_score", "last": "last_normalized_score"}
REPORTED = ("results", "controls", "replay", "pendulum", "cartpole")
"""Sweeps whose seeds are reported; ``results`` are those of ``grid.toml``."""
SWEEPS = (
    *REPORTED, "rates", "cheap_rates", "temperatures", "dense_agents", "choice", "longer",
    "networks", "widths",
)  # fmt: skip
ABOUT_MASKS = ("allocation", "parameterization", "refill")
"""Fields of a cell that an arm tells besides its hyperparameters."""
OWN_STEPS = ("dense", "small_dense", "gmp")
"""Methods whose steps are the recipe's without another word."""
DISCRETE = ("cartpole",)
"""Worlds with discrete actions."""
Runs = dict[int, Mapping[str, Any]]
"""Seed → record."""
Costs = Mapping[str, Mapping[str, float]]
"""Algorithm → ``stock`` or sparsity → milliseconds a step."""


class Arm(NamedTuple):
    """Runs that differ in their seed alone; ``said`` is what the cell says besides.

    ``sparsity`` is that of the networks that are pruned; ``said`` names them where some are not.
    """

    dataset: str
    algo: str
    method: str
    sparsity: float
    said: str
    steps: int

    @property
    def name(self) -> str:
        """The method, and the sparsity of those that were asked for one."""
        percent = f"{100 * self.sparsity:.4g}%"
        return self.method if self.method == "dense" else f"{self.method} {percent}"

    @property
    def asked(self) -> str:
        """What the cell says besides, without its quotation marks."""
        return self.said.replace('"', "")

    @property
    def training(self) -> str:
        """What it is trained with: hyperparameters but learning rates, as JSON; not the mask."""
        said = {} if self.said == RECIPE else json.loads(self.said)
        rest = {n: value for n, value in said.items()
                if n not in ABOUT_MASKS and not n.endswith("learning_rate")}  # fmt: skip
        return json.dumps(rest, sort_keys=True)

    @property
    def is_default(self) -> bool:
        """Whether it is what is pruned without another word, which the grids spell out."""
        method, said = _default(self.dataset, self.algo)
        return self.method == method and self.said in (RECIPE, said)


Arms = Mapping[Arm, Runs]


@cache
def records_of(name: str) -> Sequence[dict[str, Any]]:
    """The records in the archive of a sweep, those of failed cells too; none without one."""
    archive = FOLDER / f"{name}.tar.xz"
    if not archive.exists():
        return ()
    with tempfile.TemporaryDirectory() as folder:
        shutil.unpack_archive(archive, folder, filter="data")
        return read_records(Path(folder) / name)


def recorded(*names: str) -> dict[Arm, Runs]:
    """The arms of sweeps, of the cells that ended well."""
    found: dict[Arm, Runs] = {}
    for record in (record for name in names for record in records_of(name)):
        if record["status"] == "ok":
            found.setdefault(arm_of(record), {})[record["cell"]["seed"]] = record
    return found


def arm_of(record: Mapping[str, Any]) -> Arm:
    """What a cell is a seed of."""
    cell = record["cell"]
    steps = cell["n_steps"] if record["result"] is None else record["result"]["n_steps"]
    asked = cell["sparsity"]
    sparsity = float(max(asked.values()) if isinstance(asked, Mapping) else asked)
    return Arm(cell["dataset"], cell["algo"], cell["method"], sparsity, _said(cell), steps)


@cache
def _default(dataset: str, algo: str) -> tuple[str, str]:
    """The method of ``prune_then_train`` without another word, and what its arm says besides."""
    world = dataset.split("/")[-2]
    advice = find_recipe(algo, "discrete" if world in DISCRETE else "continuous").advice(dataset)
    said = {n: getattr(advice, n) for n in ("allocation", "parameterization") if getattr(advice, n)}
    return advice.method, json.dumps(said, sort_keys=True)


def _said(cell: Mapping[str, Any]) -> str:
    """What a cell asks for besides the defaults of its arm."""
    said = {n: cell[n] for n in ABOUT_MASKS if cell.get(n)}
    if cell["method"] in OWN_STEPS:
        said.pop("parameterization", None)
    if isinstance(cell["sparsity"], Mapping):
        said["pruned"] = " and ".join(cell["sparsity"])
    said |= cell["algo_params"]
    return json.dumps(said, sort_keys=True) if said else RECIPE


def scores_of(runs: Runs, seeds: Iterable[int], name: str) -> list[float]:
    """A number of each of these seeds' results."""
    return [float(runs[seed]["result"][name]) for seed in seeds]


def of_algorithm(arms: Arms, algo: str) -> tuple[dict[Arm, Runs], int]:
    """The arms of an algorithm, and the most steps that one of them takes."""
    ours = {arm: runs for arm, runs in arms.items() if arm.algo == algo}
    return ours, max((arm.steps for arm in ours), default=0)


def whole_dense(arms: Arms, algo: str) -> dict[Arm, Runs]:
    """The dense arms of an algorithm that took the most steps."""
    ours, full = of_algorithm(arms, algo)
    return {a: runs for a, runs in ours.items() if a.method == "dense" and a.steps == full}


def of_dataset(arms: Arms, dataset: str) -> dict[Arm, Runs]:
    """The arms of a dataset."""
    return {arm: runs for arm, runs in arms.items() if arm.dataset == dataset}


def curve_of(record: Mapping[str, Any], name: str = "normalized_score") -> dict[int, float]:
    """Step → score (or ``mean_return``) of the last weights, at the end too.

    The record's own curve has the averaged weights at its end.
    """
    result = record["result"]
    curve = {int(point["step"]): float(point[name]) for point in result["curve"]}
    if result[f"last_{name}"] is not None:
        curve[max(curve)] = float(result[f"last_{name}"])
    return curve


@cache
def step_costs() -> Mapping[str, Any]:
    """``seconds.json``: the processor, and dataset → :data:`Costs`, measured when it was quiet."""
    found: Mapping[str, Any] = json.loads((FOLDER / "seconds.json").read_text())
    return found


def milliseconds(dataset: str) -> Costs:
    """What a step costs on a dataset; that of HalfCheetah where it was not measured itself."""
    found: Mapping[str, Costs] = step_costs()["milliseconds"]
    return found.get(dataset, found["halfcheetah/medium-small-v0"])


def short_name(dataset: str) -> str:
    """``HalfCheetah medium`` of ``prune/halfcheetah/medium-v0``."""
    world, data = dataset.split("/")[-2:]
    titles = {"halfcheetah": "HalfCheetah", "hopper": "Hopper", "walker2d": "Walker2d",
              "pendulum": "Pendulum", "cartpole": "CartPole"}  # fmt: skip
    return f"{titles.get(world, world)} {data.rpartition('-v')[0]}"


def file_name(kind: str, dataset: str) -> str:
    """``kept-halfcheetah-medium.png``."""
    return f"{kind}-{short_name(dataset).lower().replace(' ', '-')}.png"
