"""ProsPr against a computation that keeps the graph of all steps, and what it leaves behind."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.func import functional_call

from offline_prune import score
from offline_prune.errors import InputError, NonFiniteError
from offline_prune.methods import PruningSettings, SingleShot, make_method
from offline_prune.saliency import Objective, prospr, score_networks, snip
from tests.agents.test_losses import assert_same, snapshot, trained
from tests.worlds import agent, dataset, params

RATE = 0.3


def network():
    """A smooth network in double precision, and three mini-batches for it."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    generator = torch.Generator().manual_seed(1)
    data = [
        (
            torch.randn(9, 4, generator=generator, dtype=torch.float64),
            torch.randn(9, 2, generator=generator, dtype=torch.float64),
        )
        for _ in range(3)
    ]
    return net, data


def objective_of(net, data):
    weights = {name: w for name, w in net.named_parameters() if name.endswith("weight")}
    return Objective(weights, [partial(lambda x, y: ((net(x) - y) ** 2).mean(), *b) for b in data])


def unrolled(net, data, steps, first_order):
    """|∂L(w_T)/∂c| by autograd, through the graph of all steps at once."""
    weights = {n: w.detach() for n, w in net.named_parameters() if n.endswith("weight")}
    factors = {n: torch.ones_like(w).requires_grad_() for n, w in weights.items()}

    def loss(values, batch):
        x, y = batch
        return ((functional_call(net, values, (x,)) - y) ** 2).mean()

    values = {n: factors[n] * w for n, w in weights.items()}
    for t in range(steps):
        gradients = torch.autograd.grad(
            loss(values, data[t % len(data)]), list(values.values()), create_graph=True
        )
        if first_order:
            gradients = [g.detach() for g in gradients]
        values = {n: w - RATE * g for (n, w), g in zip(values.items(), gradients, strict=True)}
    final = sum(loss(values, batch) for batch in data) / len(data)
    found = torch.autograd.grad(final, list(factors.values()))
    return {n: g.abs() for n, g in zip(factors, found, strict=True)}


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_the_backward_sweep_is_the_derivative_through_all_steps(steps, first_order):
    net, data = network()
    found = prospr(objective_of(net, data), steps, RATE, first_order)
    expected = unrolled(net, data, steps, first_order)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-10, atol=1e-14)


def test_second_derivatives_matter():
    net, data = network()
    exact, short = (prospr(objective_of(net, data), 3, RATE, order) for order in (False, True))
    assert not torch.allclose(exact["0.weight"], short["0.weight"], rtol=0.05)


def test_quadratic():
    """w_T − w* = (I − ηA)ᵀ (w − w*), so the score is |w ⊙ (I − ηA)²ᵀ A (w − w*)|."""
    matrix = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    vector = torch.tensor([1.0, -1.0], dtype=torch.float64)
    w = torch.tensor([0.3, -0.8], dtype=torch.float64, requires_grad=True)
    found = prospr(Objective({"w": w}, [lambda: 0.5 * w @ matrix @ w - vector @ w]), 4, 0.1)["w"]
    shrinking = torch.linalg.matrix_power(torch.eye(2).double() - 0.1 * matrix, 8)
    expected = w.detach() * (shrinking @ (matrix @ w.detach() - vector))
    torch.testing.assert_close(found, expected.abs())


def test_at_rate_zero_it_is_snip():
    net, data = network()
    objective = objective_of(net, data)
    for first_order in (False, True):
        found = prospr(objective, 3, 0.0, first_order)
        for name, expected in snip(objective).items():
            torch.testing.assert_close(found[name], expected)


@pytest.mark.parametrize(("kind", "algo"), [("vector-continuous", "bc"), ("vector-discrete", "bc")])
def test_on_an_agent_it_is_what_pruning_a_little_changes(kind, algo):
    """Central differences of L(w_T) in the factor c of one weight of an agent, in float64."""
    compared = []

    def differences(objective):
        found = prospr(objective, 3, 0.1)
        name, weight = next(iter(objective.weights.items()))
        start = {n: w.detach().clone() for n, w in objective.weights.items()}

        def after_training(index, factor):
            with torch.no_grad():
                weight.view(-1)[index] *= factor
            for t in range(3):
                loss = objective.losses[t % len(objective.losses)]()
                gradients = torch.autograd.grad(loss, list(objective.weights.values()))
                with torch.no_grad():
                    for w, g in zip(objective.weights.values(), gradients, strict=True):
                        w -= 0.1 * g
            with torch.no_grad():
                value = sum(float(loss()) for loss in objective.losses) / len(objective.losses)
                for n, w in objective.weights.items():
                    w.copy_(start[n])
            return value

        for index in found[name].flatten().topk(5).indices.tolist():
            above, below = (after_training(index, 1.0 + step) for step in (1e-6, -1e-6))
            compared.append((float(found[name].view(-1)[index]), abs(above - below) / 2e-6))
        return found

    score_networks(agent(kind, algo), dataset(kind), differences, n_batches=2, float64=True)
    assert len(compared) == 5
    for exact, numerical in compared:
        assert exact == pytest.approx(numerical, rel=1e-4)


def test_an_interrupted_evaluation_puts_the_weights_back():
    net, data = network()
    objective = objective_of(net, data)
    before = {n: (w.data_ptr(), w.detach().clone()) for n, w in net.named_parameters()}
    for broken in range(10):  # 3 steps forward, 3 losses at the end, 3 steps backward
        calls = []

        def count(loss, calls=calls, broken=broken):
            calls.append(loss)
            if len(calls) > broken:
                raise KeyboardInterrupt
            return loss()

        halting = Objective(objective.weights, [partial(count, loss) for loss in objective.losses])
        if broken < 9:
            with pytest.raises(KeyboardInterrupt):
                prospr(halting, 3, RATE)
        else:
            prospr(halting, 3, RATE)
        for name, weight in net.named_parameters():
            assert weight.data_ptr() == before[name][0]
            assert torch.equal(weight, before[name][1])
            assert weight.grad is None


def test_steps_that_diverge_are_told_and_leave_the_agent_as_it_was():
    subject = trained("vector-continuous", "td3_plus_bc")
    before = snapshot(subject.algo)
    diverging = partial(prospr, learning_rate=1e12)
    with pytest.raises(NonFiniteError, match=r"diverge at learning_rate=1000000000000\.0"):
        score_networks(subject, dataset("vector-continuous"), diverging, n_batches=2)
    assert_same(before, snapshot(subject.algo))


def test_a_loss_that_was_not_finite_is_no_fault_of_the_steps():
    def broken():
        raise NonFiniteError("before training")

    w = torch.ones(2, requires_grad=True)
    with pytest.raises(NonFiniteError, match="before training"):
        prospr(Objective({"w": w}, [broken]))


@pytest.mark.slow
def test_options_in_an_expression():
    data, options = dataset("vector-continuous"), {"n_batches": 2}
    options["algo_params"] = params("vector-continuous", "iql")

    def scores(method):
        found = score(data, "iql", 0.9, method=method, **options).scores
        return torch.cat([s.flatten() for by_name in found.values() for s in by_name.values()])

    default = scores("prospr")
    assert torch.equal(default, scores("prospr(steps=3, learning_rate=0.01, first_order=False)"))
    others = ["prospr(steps=5)", "prospr(learning_rate=0.02)", "prospr(first_order=True)", "snip"]
    for other in others:
        assert not torch.equal(default, scores(other))
    torch.testing.assert_close(scores("prospr(learning_rate=0)"), scores("snip"))
    assert isinstance(make_method("inverted(prospr(steps=1))", PruningSettings({})), SingleShot)


@pytest.mark.parametrize(
    "options", ["steps=0", "steps=1.5", "learning_rate=-1.0", "learning_rate=fast", "first_order=1"]
)
def test_options_are_checked_before_any_work(options):
    with pytest.raises(InputError, match=options.partition("=")[0]):
        make_method(f"prospr({options})", PruningSettings({}))
