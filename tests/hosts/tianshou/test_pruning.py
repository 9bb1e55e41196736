"""Pruning tianshou's value networks while they train."""

import pytest
import torch

pytest.importorskip("tianshou")

from offline_prune.errors import AlgorithmError, InputError
from offline_prune.hosts.tianshou import Pruning
from offline_prune.hosts.tianshou.host import agent_of, noises
from offline_prune.masks.allocation import kept_count
from tests.hosts.tianshou.learning import KINDS, algorithm_of, collected, tensors, train

WHOLE_UNITS = ("structured", "gates")
METHODS = ("gmp", "set", "rigl", *WHOLE_UNITS, "snip", "grasp", "random")
STEPS = 40


def pruned(kind, method, sparsity=0.8, images=False, **options):
    algorithm = algorithm_of(kind, images)
    collector = collected(algorithm, images)
    pruning = Pruning(
        algorithm, method, sparsity, n_gradient_steps=STEPS, buffer=collector.buffer, **options
    )
    with pruning:
        train(algorithm, collector, STEPS)
    return algorithm, pruning


def assert_zeros(algorithm, pruning):
    kept, agent = pruning.mask.nominal, pruning.agent
    for held in (agent.weights, agent.targets, *noises(algorithm)):
        for name, weight in held.items():
            assert not weight[~kept[name]].any(), name


@pytest.mark.filterwarnings("ignore::offline_prune.masks.collapse.LayerCollapseWarning")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_algorithm_with_every_method(kind, method):
    algorithm, pruning = pruned(kind, method)
    assert pruning.step == STEPS
    assert_zeros(algorithm, pruning)
    (network,) = pruning.agent.networks
    kept, most = pruning.mask["critic[0]"].n_kept, kept_count(network.n_weights, 0.8)
    assert kept <= most if method in WHOLE_UNITS else kept == most


def test_two_of_four_inputs_where_it_is_asked_for():
    _, pruning = pruned(KINDS[0], "snip", structure="2:4")
    for kept in pruning.mask.nominal.values():
        assert max(int(g.sum(dim=1).max()) for g in kept.int().split(4, dim=1)) <= 2


@pytest.mark.parametrize("method", ["gmp", "snip"])
@pytest.mark.parametrize("kind", KINDS)
def test_at_sparsity_0_it_is_stock_bit_for_bit(kind, method):
    ours, _ = pruned(kind, method, 0.0)
    stock = algorithm_of(kind)
    train(stock, collected(stock), STEPS)
    expected = tensors(stock)
    assert all(torch.equal(value, expected[key]) for key, value in tensors(ours).items())


def test_noise_is_pruned_with_its_means():
    algorithm, pruning = pruned("rainbow", "gmp", 0.9)
    online, targets = noises(algorithm)
    assert len(online) == len(targets) == 4
    for name, noise in online.items():
        kept = pruning.mask.nominal[name]
        assert noise[kept].all()
        assert not noise[~kept].any()


@pytest.mark.parametrize("method", ["structured", "gates"])
def test_units_of_dueling_streams_leave_whole(method):
    _, pruning = pruned("rainbow", method, 0.5, images=True)
    kept = pruning.mask.nominal
    channels = kept["net.4.weight"].flatten(1).any(dim=1)
    assert not channels.all()
    for stream in ("Q", "V"):  # a channel's columns leave both
        columns = kept[f"{stream}.0.mu_W"].any(dim=0).view(len(channels), -1).any(dim=1)
        assert torch.equal(columns, channels)


def test_dead_units_may_leave_while_it_trains():
    expected, _ = pruned("c51", "structured")
    found, _ = pruned("c51", "structured", engine="compact")
    others = tensors(expected)
    for key, value in tensors(found).items():
        torch.testing.assert_close(value, others[key], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_its_own_update_and_changes_nothing(kind):
    algorithm = algorithm_of(kind)
    agent, collector = agent_of(algorithm), collected(algorithm)
    (drawn,) = agent.host.draw_batches(collector.buffer, 1, seed=0)
    before, target_steps = tensors(algorithm), algorithm._iter
    torch.manual_seed(3)
    (network,) = agent.networks
    loss = network.loss(drawn)
    ours = torch.autograd.grad(loss, list(network.weights.values()))
    assert all(torch.equal(value, before[key]) for key, value in tensors(algorithm).items())
    assert algorithm._iter == target_steps
    algorithm._iter = 1  # no copy of the target
    algorithm.train()
    torch.manual_seed(3)
    algorithm._update_with_batch(drawn.batch)
    stock = [weight.grad for weight in network.weights.values()]
    assert all(map(torch.equal, ours, stock))


def test_an_error_lets_go():
    algorithm = algorithm_of("c51")
    with pytest.raises(KeyError), Pruning(algorithm, "gmp(begin=0)", 0.8, n_gradient_steps=9):
        raise KeyError
    stock = algorithm_of("c51")
    for each in (algorithm, stock):
        train(each, collected(each), STEPS)
    expected = tensors(stock)
    assert all(torch.equal(value, expected[key]) for key, value in tensors(algorithm).items())


def test_a_method_that_scores_wants_a_buffer():
    with (
        pytest.raises(InputError, match=r"collector\.collect"),
        Pruning(algorithm_of("dqn"), "snip", 0.8, n_gradient_steps=9),
    ):
        pass


def test_another_algorithm_is_named():
    with pytest.raises(AlgorithmError, match=r"dict is not.*C51"):
        Pruning({}, "gmp", 0.8, n_gradient_steps=9)
