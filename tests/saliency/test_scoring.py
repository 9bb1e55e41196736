"""What is averaged over mini-batches, and in which precision."""

import pytest
import torch
from d3rlpy.models import IQNQFunctionFactory

from offline_prune.agents import build_agent
from offline_prune.errors import AlgorithmError, UnknownNameError
from offline_prune.saliency import SALIENCIES, score_networks, snip
from tests.worlds import CASES, agent, dataset, long_dataset


def flat(scores):
    return {n: s for found in scores.values() for n, s in found.items()}


@pytest.fixture(scope="module")
def world():
    data = long_dataset()
    return build_agent(data, "bc", algo_params={"hidden_units": [16, 16]}).agent, data


def test_the_mean_of_scores_is_the_mean_of_single_batches(world):
    single = []

    def remember(objective):
        assert len(objective.losses) == 1
        single.append(snip(objective))
        return single[-1]

    scores = flat(score_networks(*world, remember, n_batches=4, average="scores"))
    assert len(single) == 4
    for name, score in scores.items():
        torch.testing.assert_close(score, torch.stack([f[name] for f in single]).mean(dim=0))


def test_gradients_may_cancel_and_scores_do_not(world):
    cancelled = flat(score_networks(*world, snip, n_batches=6))
    kept = flat(score_networks(*world, snip, n_batches=6, average="scores"))
    for name in cancelled:
        assert (kept[name] >= cancelled[name] - 1e-9).all()
    assert all((kept[name] > cancelled[name] + 1e-9).any() for name in kept)


def test_one_batch_gives_the_same_by_either():
    subject, data = agent("vector-continuous", "iql"), dataset("vector-continuous")
    ways = [
        flat(score_networks(subject, data, snip, n_batches=1, average=average))
        for average in ("gradients", "scores")
    ]
    for name, score in ways[0].items():
        torch.testing.assert_close(score, ways[1][name])


def test_an_unknown_average_is_refused():
    with pytest.raises(UnknownNameError, match="gradients"):
        score_networks(
            agent("vector-continuous", "bc"), dataset("vector-continuous"), snip,
            n_batches=1, average="gradient",
        )  # fmt: skip


@pytest.mark.parametrize("saliency", ["snip", "grasp", "prospr"])
@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_double_precision_leaves_the_agent_as_it_was(kind, algo, saliency):
    subject, data = agent(kind, algo), dataset(kind)
    modules = subject.algo.impl.modules.get_torch_modules().values()
    tensors = [t for m in modules for t in (*m.parameters(), *m.buffers())]
    before = [t.detach().clone() for t in tensors]
    state = torch.get_rng_state()
    found = flat(score_networks(subject, data, SALIENCIES[saliency], n_batches=1, float64=True))
    assert all(score.dtype == torch.float64 for score in found.values())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() == torch.float32
    for tensor, earlier in zip(tensors, before, strict=True):
        assert tensor.dtype == earlier.dtype
        assert torch.equal(tensor, earlier)


def test_double_precision_agrees_with_single():
    subject, data = agent("vector-continuous", "bc"), dataset("vector-continuous")
    single = flat(score_networks(subject, data, snip, n_batches=2))
    double = flat(score_networks(subject, data, snip, n_batches=2, float64=True))
    for name, score in single.items():
        torch.testing.assert_close(score.double(), double[name], atol=1e-7, rtol=1e-4)


def test_a_loss_that_d3rlpy_cannot_compute_is_named():
    """Its continuous IQN critics bootstrap from another number of quantiles than they fit."""
    critics = {"q_func_factory": IQNQFunctionFactory(), "batch_size": 8}
    data = dataset("vector-continuous")
    iqn = build_agent(data, "td3_plus_bc", algo_params=critics).agent
    with pytest.raises(AlgorithmError, match=r"critic.*QRQFunctionFactory"):
        score_networks(iqn, data, SALIENCIES["snip"], n_batches=1)
