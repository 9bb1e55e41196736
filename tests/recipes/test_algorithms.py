import d3rlpy
import numpy as np
import pytest

from offline_prune.agents.build import build_agent, d3rlpy_config_class
from offline_prune.agents.configure import configure
from offline_prune.agents.networks import LAYOUTS
from offline_prune.data import load_dataset
from offline_prune.errors import AlgorithmError, InputError, UnknownNameError
from offline_prune.recipes.algorithms import (
    AlgorithmRecipe,
    Override,
    algorithm_recipes,
    find_recipe,
)
from tests.worlds import dataset

DATASETS = {"continuous": "pendulum/mixture-v0", "discrete": "cartpole/mixture-v0"}


@pytest.mark.slow
@pytest.mark.parametrize("name", algorithm_recipes())
def test_every_recipe_builds_and_names_its_source(name):
    recipe = algorithm_recipes()[name]
    assert recipe.reference
    assert recipe.source
    data = load_dataset(DATASETS[recipe.actions])
    built = build_agent(data, recipe.algorithm)
    assert built.agent.name == name
    hyperparameters, n_steps = recipe.for_dataset(data.metadata.dataset_id)
    assert built.n_steps == n_steps
    plain = {k: v for k, v in hyperparameters.items() if isinstance(v, int | float)}
    for field, value in plain.items():
        if field != "reward_scaler":
            assert getattr(built.agent.algo.config, field) == value, field


def test_every_algorithm_has_a_recipe():
    types = {d3rlpy_config_class(r.d3rlpy).__name__ for r in algorithm_recipes().values()}
    assert types == set(LAYOUTS)


def test_overrides_follow_the_dataset_and_later_ones_win():
    recipe = AlgorithmRecipe(
        name="x",
        title="X",
        algorithm="x",
        actions="continuous",
        d3rlpy="bc",
        reference="",
        source="",
        n_steps=10,
        hyperparameters={"a": 1, "b": 1},
        overrides=(
            Override(("mine/*",), "", 20, {"a": 2}),
            Override(("mine/b-*",), "", None, {"a": 3}),
        ),
    )
    assert recipe.for_dataset("other/x-v0") == ({"a": 1, "b": 1}, 10)
    assert recipe.for_dataset(None) == ({"a": 1, "b": 1}, 10)
    assert recipe.for_dataset("mine/a-v0") == ({"a": 2, "b": 1}, 20)
    assert recipe.for_dataset("mine/b-v0") == ({"a": 3, "b": 1}, 20)


def test_the_form_is_chosen_by_the_actions():
    assert find_recipe("cql", "discrete").name == "discrete_cql"
    assert find_recipe("cql", "continuous").name == "cql"
    assert find_recipe("discrete_cql", "discrete").name == "discrete_cql"
    with pytest.raises(AlgorithmError, match="bc, bcq, cql"):
        find_recipe("iql", "discrete")
    with pytest.raises(UnknownNameError, match="td3_plus_bc"):
        find_recipe("td3plusbc", "continuous")


def made(hyperparameters, config=d3rlpy.algos.IQLConfig, kind="vector-continuous"):
    return configure(config, hyperparameters, dataset(kind), 1000)


def test_hidden_units():
    config = made({"hidden_units": [8, 8], "actor_hidden_units": [4]})
    assert config.actor_encoder_factory.hidden_units == [4]
    assert config.critic_encoder_factory.hidden_units == [8, 8]
    assert config.value_encoder_factory.hidden_units == [8, 8]


def test_standardised_observations_are_what_d3rlpy_fits():
    ours = made({"observation_scaler": "standard"}).observation_scaler
    theirs = d3rlpy.preprocessing.StandardObservationScaler()
    buffer = dataset("vector-continuous").buffer
    theirs.fit_with_transition_picker(buffer.episodes, buffer.transition_picker)
    np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(ours.std, theirs.std, rtol=1e-5)


def test_reward_scalers():
    assert made({"reward_scaler": 0.1}).reward_scaler.multiplier == 0.1
    assert made({"reward_scaler": "none"}).reward_scaler is None
    found = made({"reward_scaler": {"type": "return", "multiplier": 7.0}}).reward_scaler
    assert (found.get_type(), found.multiplier) == ("return", 7.0)
    with pytest.raises(UnknownNameError, match="return"):
        made({"reward_scaler": "returns"})


@pytest.mark.parametrize("network", ["actor", "critic"])
def test_cosine_decay_ends_at_the_last_step(network):
    config = made({f"{network}_learning_rate_decay": "cosine"})
    decaying = getattr(config, f"{network}_optim_factory")
    assert decaying.lr_scheduler_factory.T_max == 1000
    other = {"actor": config.critic_optim_factory, "critic": config.actor_optim_factory}[network]
    assert other.lr_scheduler_factory is None
    with pytest.raises(UnknownNameError, match="cosine"):
        made({f"{network}_learning_rate_decay": "linear"})


@pytest.mark.parametrize(("given", "steps"), [({}, 500), ({"update_actor_interval": 3}, 334)])
def test_the_decay_of_an_actor_that_rests_ends_with_the_run_too(given, steps):
    given = given | {"actor_learning_rate_decay": "cosine", "critic_learning_rate_decay": "cosine"}
    config = made(given, d3rlpy.algos.TD3PlusBCConfig)
    assert config.actor_optim_factory.lr_scheduler_factory.T_max == steps
    assert config.critic_optim_factory.lr_scheduler_factory.T_max == 1000


def test_every_optimizer_decays_by_the_name_of_its_rate():
    decays = {"imitator_learning_rate_decay": "cosine", "actor_learning_rate_decay": "none"}
    config = made(decays, d3rlpy.algos.BCQConfig)
    assert config.imitator_optim_factory.lr_scheduler_factory.T_max == 1000
    assert config.actor_optim_factory.lr_scheduler_factory is None
    config = made({"learning_rate_decay": "cosine"}, d3rlpy.algos.BCConfig)
    assert config.optim_factory.lr_scheduler_factory.T_max == 1000


def test_d3rlpys_own_objects_pass_through():
    scaler = d3rlpy.preprocessing.ClipRewardScaler(-1, 1)
    assert made({"reward_scaler": scaler}).reward_scaler is scaler


def test_values_that_the_config_refuses():
    with pytest.raises(InputError, match="IQLConfig"):
        made({"reward_scaler": {"type": "clip", "bound": 3}})


def test_bounded_actions_are_scaled_only_where_needed():
    assert made({}).action_scaler is None
    pendulum = load_dataset("pendulum/mixture-v0")
    config = configure(d3rlpy.algos.IQLConfig, {}, pendulum, 10)
    assert config.action_scaler.maximum.tolist() == [2.0]
    discrete = configure(d3rlpy.algos.DiscreteCQLConfig, {}, dataset("vector-discrete"), 10)
    assert discrete.action_scaler is None
