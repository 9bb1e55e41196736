"""Which methods make masks of a structure, and which refuse."""

import re

import pytest

from offline_prune import prune, prune_then_train, score
from offline_prune.errors import InputError
from offline_prune.masks.allocation import kept_count
from offline_prune.methods import METHODS
from offline_prune.saliency import SALIENCIES
from tests.masks.structures.test_blocks import blocks_of
from tests.worlds import ROUNDS, agent, dataset, params

pytestmark = pytest.mark.filterwarnings(
    "ignore::offline_prune.masks.collapse.LayerCollapseWarning"  # networks this small
)
KIND = "vector-continuous"
BEFORE_TRAINING = [ROUNDS.get(name, name) for name in (*SALIENCIES, "prospr", *ROUNDS)]
WITHOUT = [
    name for name, made in METHODS.items() if getattr(made, "structures", {1}) == frozenset()
]


def live_grid(mask):
    """Weights between live units, of BC with two hidden layers."""
    first, second, _ = (units for units, _ in mask.layer_units.values())
    return 5 * first + first * second + 2 * second


def asked(algo="iql", **options):
    return {"algo_params": params(KIND, algo), "n_batches": 1, **options}


@pytest.mark.parametrize("structure", ["units", "block(2, 3)", "1:4"])
@pytest.mark.parametrize(
    "method", [*BEFORE_TRAINING, "inverted(grasp)", "corrupted(snip, rewards)"]
)
def test_every_method_before_training_keeps_its_counts(method, structure):
    mask = score(dataset(KIND), "iql", 0.9, method=method, **asked(structure=structure)).mask
    for network in agent(KIND, "iql").networks:
        assert mask[network.role].n_kept == kept_count(network.n_weights, 0.9)


def test_a_run_remembers_its_structure():
    options = asked("bc", method="snip", structure="units(density=0.9)")
    result = prune_then_train(
        dataset(KIND), "bc", 0.9, n_steps=2, evaluate=0, progress=False, **options
    )
    assert result.settings.structure == "units(density=0.9)"
    assert result.mask == score(dataset(KIND), "bc", 0.9, **options).mask
    assert result.mask != score(dataset(KIND), "bc", 0.9, **asked("bc", method="snip")).mask


def test_gmp_ends_with_blocks():
    options = asked("bc", structure="block(3, 4)", n_steps=10, evaluate=0, progress=False)
    mask = prune_then_train(dataset(KIND), "bc", 0.8, method="gmp(interval=2)", **options).mask
    for kept in mask.nominal.values():  # ERK's layer budgets: a cut block a layer
        blocks = [(int(b.sum()), b.numel()) for b in blocks_of(kept, 3, 4)]
        assert sum(0 < count < size for count, size in blocks) <= 1


def test_gmp_ends_with_fewer_units():
    options = asked("bc", n_steps=10, evaluate=0, progress=False)
    grids = [
        live_grid(
            prune_then_train(
                dataset(KIND), "bc", 0.8, method="gmp(interval=2)", structure=s, **options
            ).mask
        )
        for s in (None, "units(density=0.9)")
    ]
    assert grids[1] < 0.8 * grids[0]


@pytest.mark.parametrize("method", [*WITHOUT, "shuffled(snip)"])
@pytest.mark.parametrize("structure", ["units", "block(2, 3)", "1:4"])
def test_others_refuse_it_by_name(method, structure):
    with pytest.raises(InputError, match=re.escape(f"cannot have structure='{structure}'")):
        prune_then_train(None, "bc", 0.5, method=method, structure=structure)


def test_who_refuses():
    assert set(WITHOUT) == {"small_dense", "set", "rigl", "gates", "structured", "pops"}
    with pytest.raises(InputError, match="it knows block, units"):
        prune_then_train(None, "bc", 0.9, method="gmp", structure="2:4")


def test_a_given_mask_has_the_structure_that_it_has():
    mask = score(dataset(KIND), "bc", 0.5, **asked("bc", structure="2:4")).mask
    with pytest.raises(InputError, match="FixedMask cannot have"):
        prune(dataset(KIND), "bc", 0.5, method=mask, **asked("bc", structure="2:4"))
    assert prune(dataset(KIND), "bc", 0.5, method=mask, **asked("bc"))[1] == mask


@pytest.mark.parametrize("structure", ["units", "block(2, 3)"])
def test_structures_go_with_a_default_that_parts_a_network_by_its_stacks(structure):
    result = prune_then_train(
        dataset(KIND), "bcq", 0.9, n_steps=1, evaluate=0, progress=False, structure=structure,
        **asked("bcq"),
    )  # fmt: skip
    assert result.settings.method == "snip_flow(stacks=snip)"
    assert result.settings.structure == structure
