"""Extreme sparsities, tiny networks, and numbers that are no longer finite."""

import warnings

import numpy as np
import pytest
import torch
from d3rlpy.algos import BCConfig
from d3rlpy.dataset import MDPDataset

from offline_prune import load_dataset, prune_then_train, score
from offline_prune.errors import EmptyNetworkError, InputError, NonFiniteError
from offline_prune.masks.allocation import ALLOCATIONS, kept_count
from offline_prune.run.training import _check_losses
from tests.worlds import CONTINUOUS, dataset, params

KIND = "vector-continuous"


def quick(data, algo, sparsity, **options):
    given = {"n_steps": 2, "evaluate": 0, "progress": False, "n_batches": 1, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers that collapse
        return prune_then_train(data, algo, sparsity, **given)


def one_dimensional(scale=1.0):
    rng = np.random.default_rng(0)
    terminals = np.zeros(40, np.float32)
    terminals[9::10] = 1
    return load_dataset(
        MDPDataset(
            rng.normal(size=(40, 1)).astype(np.float32),
            rng.uniform(-1, 1, (40, 1)).astype(np.float32),
            (scale * rng.normal(size=40)).astype(np.float32),
            terminals,
        )
    )


@pytest.mark.parametrize(
    "method",
    ["snip", "grasp", "fisher", "prospr", "synflow", "px", "snip_flow", "magnitude", "random"],
)
@pytest.mark.parametrize("algo", CONTINUOUS)
def test_extreme_sparsity_is_exact(algo, method):
    """99.9 %: every network keeps round(N · 0.001) weights, and trains."""
    options = params(KIND, algo) | {"hidden_units": [40, 40]}
    result = quick(dataset(KIND), algo, 0.999, method=method, algo_params=options)
    for role in result.mask:
        mask = result.mask[role]
        assert mask.n_kept == kept_count(mask.n_weights, 0.999)
    for module in result.algo.impl.modules.get_torch_modules().values():
        for tensor in module.state_dict().values():
            assert bool(torch.isfinite(tensor).all())


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_a_sparsity_that_leaves_nothing_is_refused_with_the_highest(allocation):
    options = {"algo_params": {"hidden_units": [2]}, "allocation": allocation}
    with pytest.raises(EmptyNetworkError, match=r"highest sparsity possible is 0\.9"):
        quick(dataset(KIND), "bc", 0.999, **options)
    n = quick(dataset(KIND), "bc", 0, **options).mask.n_weights
    assert quick(dataset(KIND), "bc", 1 - 1 / n, **options).mask.n_kept == 1


@pytest.mark.parametrize("engine", ["auto", "masked", "compact", "sparse"])
@pytest.mark.parametrize("units", [[1], [2], [1, 1], [2, 1]])
def test_tiny_networks_on_one_dimension(units, engine):
    data = one_dimensional()
    for algo in ("bc", "td3_plus_bc", "iql"):
        for sparsity in (0.0, 0.5):
            options = {"hidden_units": units, "batch_size": 4}
            result = quick(data, algo, sparsity, engine=engine, algo_params=options)
            for role in result.mask:
                mask = result.mask[role]
                assert mask.n_kept == kept_count(mask.n_weights, sparsity)
            assert np.isfinite(result.algo.predict(data.observations)).all()


def test_huge_rewards_are_named_before_training():
    with pytest.raises(NonFiniteError, match="critic"):
        quick(one_dimensional(1e37), "td3_plus_bc", 0.5, algo_params={"hidden_units": [4]})


@pytest.mark.parametrize("algo", ["bc", "td3_plus_bc"])
@pytest.mark.parametrize("engine", ["masked", "compact"])
def test_divergence_stops_with_network_and_step(algo, engine):
    rate = {"learning_rate": 1e25} if algo == "bc" else {"critic_learning_rate": 1e25}
    options = {"hidden_units": [8, 8], "batch_size": 8, **rate}
    with pytest.raises(NonFiniteError, match=r"(actor|imitator|critic).* step \d+"):
        quick(
            one_dimensional(), algo, 0.5, n_steps=20, n_steps_per_epoch=2, engine=engine,
            algo_params=options,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [("learning_rate", 1e38), ("learning_rate", -1.0), ("gamma", 1.5), ("gamma", "x"),
     ("gamma", float("nan")), ("batch_size", 2.5), ("batch_size", 0), ("observation_scaler", 5)],
)  # fmt: skip
def test_hyperparameters_that_d3rlpy_would_take(field, value):
    options = {"hidden_units": [4], field: value}
    with pytest.raises(InputError, match=field):
        quick(one_dimensional(), "bc", 0.5, algo_params=options)
    config = BCConfig(**{field: value})
    with pytest.raises(InputError, match=field):
        quick(one_dimensional(), config, 0.5)


@pytest.mark.parametrize("value", [3.402823466385289e38, -1e300])
def test_numbers_beyond_float32_are_refused(value):
    with pytest.raises(InputError, match="max_weight is a number of float32"):
        quick(one_dimensional(), "iql", 0.5, algo_params={"hidden_units": [4], "max_weight": value})


def test_torch_stops_on_nan_before_the_epoch_ends():
    """Adam divides by 0; IQL's next normal distribution refuses NaN inside d3rlpy's step.

    Of kept weights alone none has a gradient that is 0 for ever: hence dense layers.
    """
    options = {"hidden_units": [4], "batch_size": 4, "adam_eps": 0.0}
    with pytest.raises(NonFiniteError, match=r"weights of \S+ are .* gradient step [1-5]\b"):
        quick(one_dimensional(), "iql", 0.5, n_steps=6, algo_params=options, engine="compact")


def test_losses_that_are_not_finite_stop_the_run():
    with pytest.raises(NonFiniteError, match=r"mean critic_loss .* step 40 is inf"):
        _check_losses({"actor_loss": 1.0, "critic_loss": float("inf")}, 40)
    _check_losses({"critic_loss": 1e30, "time_step": float("nan")}, 40)


def test_a_scaler_of_constant_observations():
    rng = np.random.default_rng(0)
    terminals = np.zeros(20, np.float32)
    terminals[-1] = 1
    data = load_dataset(
        MDPDataset(
            np.ones((20, 3), np.float32),
            rng.uniform(-1, 1, (20, 1)).astype(np.float32),
            np.zeros(20, np.float32),
            terminals,
        )
    )
    for scaler in ("standard", "min_max", "none"):
        options = {"hidden_units": [4], "observation_scaler": scaler}
        try:
            result = quick(data, "bc", 0.5, algo_params=options)
        except (InputError, NonFiniteError) as error:
            assert "observation" in str(error)  # noqa: PT017
        else:
            assert np.isfinite(result.algo.predict(data.observations)).all()


@pytest.mark.parametrize("algo", CONTINUOUS)
def test_scores_in_double_precision_agree(algo):
    """float64 is another draw of noise for algorithms that draw some; BC draws none."""
    options = {"n_batches": 1, "algo_params": params(KIND, algo)}
    double = score(dataset(KIND), algo, 0.5, float64=True, **options)
    for scores in double.scores.values():
        for values in scores.values():
            assert values.dtype == torch.float64
            assert bool(values.isfinite().all())
    if algo == "bc":
        single = score(dataset(KIND), algo, 0.5, **options)
        for role, scores in single.scores.items():
            for name, values in scores.items():
                torch.testing.assert_close(
                    values.double(), double.scores[role][name], rtol=1e-3, atol=1e-6
                )
