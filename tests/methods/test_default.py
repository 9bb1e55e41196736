"""The method where none is asked for."""

import d3rlpy
import pytest

from offline_prune import prune, prune_then_train, score
from offline_prune.agents import build_agent
from offline_prune.methods.default import default_method
from tests.worlds import CASES, agent, dataset

CONTINUOUS = "vector-continuous"


@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_every_algorithm_of_known_wiring_is_pruned_along_its_paths(kind, algo):
    assert default_method(agent(kind, algo)) == "snip_flow"


@pytest.mark.parametrize(
    "params", [{"encoder": "simba"}, {"q_func_factory": d3rlpy.models.IQNQFunctionFactory()}]
)
def test_where_wiring_is_not_known_weights_are_scored_on_data_alone(params):
    built = build_agent(dataset(CONTINUOUS), "cql", algo_params=params | {"n_action_samples": 2})
    assert default_method(built.agent) == "snip"


def test_what_was_chosen_is_said():
    data = dataset(CONTINUOUS)
    plain = {"batch_size": 8, "algo_params": {"hidden_units": [8, 8]}}
    result = prune_then_train(data, "bc", 0.5, n_steps=2, evaluate=0, progress=False, **plain)
    assert result.settings.method == "snip_flow"
    assert "snip_flow at 50.0%" in result.summary().title
    scored = score(data, "bc", 0.5, algo_params=plain["algo_params"])
    assert scored.settings["method"] == "snip_flow"
    _, attached = prune(data, "bc", 0.5, **plain)
    for mask in (attached, scored.mask):
        assert all(bool((mask.nominal[n] == kept).all()) for n, kept in result.mask.nominal.items())
