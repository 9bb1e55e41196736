"""On a GPU: every algorithm, engine, method and allocation. Skipped where there is none."""

import pytest
import torch

from offline_prune import prune_then_train
from offline_prune.masks.allocation import kept_count
from offline_prune.methods import METHODS, MODIFIERS
from tests.worlds import CASES, ROUNDS, dataset, params

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    pytest.mark.filterwarnings("ignore::offline_prune.masks.collapse.LayerCollapseWarning"),
]
STEPS = 6
ALLOCATIONS = ["global", "uniform", "erk", "floor", "constant_fan_in"]
VECTORS = [case for case in CASES if case[0].startswith("vector")]


def trained(kind, algo, device="cuda", **options):
    """An agent at 80 %, a few steps on, with what it acts by and the last weights."""
    return prune_then_train(
        dataset(kind),
        algo,
        0.8,
        n_steps=STEPS,
        n_steps_per_epoch=STEPS,
        n_batches=1,
        evaluate=0,
        device=device,
        algo_params=params(kind, algo),
        progress=False,
        **options,
    )


def parameters(result):
    """Module → tensors, on the CPU."""
    modules = result.algo.impl.modules.get_torch_modules()
    return {
        f"{field}.{name}": tensor.cpu()
        for field, module in modules.items()
        for name, tensor in module.state_dict().items()
    }


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_zeros_hold(kind, algo):
    for engine in ("masked", "compact"):
        result = trained(kind, algo, engine=engine)
        found = parameters(result)
        for name, mask in result.mask.connected.items():
            assert found[name].isfinite().all(), name
            assert not found[name][~mask].any(), name


@pytest.mark.parametrize(("kind", "algo"), VECTORS)
def test_engines_agree(kind, algo):
    """Not convolutions: their kernels round by shape, and Adam enlarges what is tiny."""
    masked, compact = (trained(kind, algo, engine=engine) for engine in ("masked", "compact"))
    assert masked.mask == compact.mask
    assert_close(parameters(compact), parameters(masked))


@pytest.mark.parametrize(("kind", "algo"), VECTORS)
def test_what_is_trained_on_a_gpu_is_what_the_processor_trains(kind, algo):
    if algo in ("bcq", "cql", "td3_plus_bc"):
        pytest.skip("draws its noise from the device's own generator")
    mask = trained(kind, algo, device="cpu").mask
    there, here = (trained(kind, algo, device=d, method=mask) for d in ("cuda", "cpu"))
    assert_close(parameters(there), parameters(here))


@pytest.mark.parametrize("refill", [False, True])
@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_every_allocation_keeps_its_count(allocation, refill):
    kind, algo = VECTORS[0]
    result = trained(kind, algo, allocation=allocation, refill=refill)
    for role in result.mask:
        part = result.mask[role]
        assert part.n_kept == kept_count(part.n_weights, 0.8)


@pytest.mark.parametrize("method", ["snip", "snip_flow(rounds=3)"])
@pytest.mark.parametrize("structure", ["units", "block(2, 3)", "1:4"])
def test_every_structure_keeps_its_count(structure, method):
    kind, algo = VECTORS[0]
    result = trained(kind, algo, structure=structure, method=method)
    for role in result.mask:
        part = result.mask[role]
        assert part.n_kept == kept_count(part.n_weights, 0.8)


@pytest.mark.parametrize("method", [*METHODS, *MODIFIERS])
def test_every_method_runs(method):
    kind, algo = next(case for case in VECTORS if case[1] == "iql")
    result = trained(kind, algo, method=ROUNDS.get(method, method))
    assert all(torch.isfinite(t).all() for t in parameters(result).values())
    if result.settings.averaging not in (None, "none"):
        assert result.last is not None
