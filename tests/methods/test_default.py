"""What an agent is pruned with where nothing is asked for."""

import d3rlpy
import pytest

from offline_prune import prune, prune_then_train, score
from offline_prune.agents import build_agent
from offline_prune.masks.parameterization import make_parameterization
from offline_prune.methods import PruningSettings, make_method
from offline_prune.methods.default import default_pruning
from offline_prune.recipes.algorithms import PruningAdvice, algorithm_recipes
from tests.worlds import CASES, agent, dataset

CONTINUOUS = "vector-continuous"
PLAIN = {"batch_size": 8, "algo_params": {"hidden_units": [8, 8]}}


@pytest.mark.parametrize("name", algorithm_recipes())
def test_every_advice_can_be_followed_and_names_its_source(name):
    recipe = algorithm_recipes()[name]
    for dataset_id in (None, "pendulum/mixture-v0", "mujoco/halfcheetah/medium-v0"):
        advice = recipe.advice(dataset_id)
        assert advice.source
        make_parameterization(advice.parameterization)
        method = make_method(advice.method, PruningSettings({"actor": 0.5}))
        assert not method.while_training


@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_the_algorithm_decides(kind, algo):
    made = agent(kind, algo)
    assert default_pruning(made, None) == algorithm_recipes()[made.name].pruned


def test_and_so_does_the_dataset():
    bcq = agent(CONTINUOUS, "bcq")
    assert default_pruning(bcq, "halfcheetah/medium-v0").method == "snip_flow(stacks=snip)"
    assert default_pruning(bcq, "pendulum/mixture-v0").method == "snip_flow"


@pytest.mark.parametrize(
    "params", [{"encoder": "simba"}, {"q_func_factory": d3rlpy.models.IQNQFunctionFactory()}]
)
def test_where_wiring_is_not_known_weights_are_scored_on_data_alone(params):
    built = build_agent(dataset(CONTINUOUS), "cql", algo_params=params | {"n_action_samples": 2})
    assert default_pruning(built.agent, None).method == "snip"


def test_an_algorithm_without_a_recipe_gets_the_general_advice():
    built = build_agent(dataset(CONTINUOUS), d3rlpy.algos.SACConfig())
    assert default_pruning(built.agent, None) == PruningAdvice()


def trained(algo="bc", **options):
    return prune_then_train(
        dataset(CONTINUOUS), algo, 0.5, n_steps=2, evaluate=0, progress=False, **PLAIN, **options
    )


def test_what_was_chosen_is_said_and_the_same_everywhere():
    result = trained()
    assert result.settings.method == "snip_flow"
    assert result.settings.parameterization == "sparse(exponent=0.5)"
    assert "snip_flow at 50.0%" in result.summary().title
    scored = score(dataset(CONTINUOUS), "bc", 0.5, algo_params=PLAIN["algo_params"])
    assert scored.settings["method"] == "snip_flow"
    _, attached = prune(dataset(CONTINUOUS), "bc", 0.5, **PLAIN)
    for mask in (attached, scored.mask):
        assert all(bool((mask.nominal[n] == kept).all()) for n, kept in result.mask.nominal.items())


def test_a_method_that_was_asked_for_gets_the_advised_steps():
    assert trained("bcq", method="magnitude").settings.parameterization == "sparse"
    assert trained(method="gmp").settings.parameterization == "standard"
