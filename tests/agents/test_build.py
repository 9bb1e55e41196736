"""What cannot be built or trained is refused before anything is."""

import d3rlpy
import pytest

from offline_prune.agents import build_agent
from offline_prune.errors import AlgorithmError, InputError
from tests.worlds import dataset, params

VECTOR = "vector-continuous"


def test_prdc_has_nothing_to_score_with_before_training():
    with pytest.raises(AlgorithmError, match="PRDC cannot be pruned here: its actor"):
        build_agent(dataset(VECTOR), d3rlpy.algos.PRDCConfig())


@pytest.mark.parametrize("algo", ["plas", "bear"])
def test_a_run_is_longer_than_its_warmup(algo):
    chosen = params(VECTOR, algo) | {"warmup_steps": 10}
    with pytest.raises(InputError, match="warmup_steps=10, and n_steps is 10"):
        build_agent(dataset(VECTOR), algo, n_steps=10, algo_params=chosen)
    assert build_agent(dataset(VECTOR), algo, n_steps=11, algo_params=chosen).n_steps == 11
