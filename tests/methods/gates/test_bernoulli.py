"""The gradient of a gate's probability, against all masks."""

import itertools
import statistics

import pytest
import torch

from offline_prune.methods.gates import bernoulli_gate, gate_weight


def masks(n):
    return [torch.tensor(m, dtype=torch.float64) for m in itertools.product((0, 1), repeat=n)]


def chance(mask, probability):
    return torch.where(mask > 0, probability, 1.0 - probability).prod()


def exact(loss, probability):
    """``E[L | ξ_j = 1] − E[L | ξ_j = 0]`` by enumeration."""
    probability = probability.clone().requires_grad_()
    expectation = sum(chance(m, probability) * loss(m) for m in masks(len(probability)))
    (gradient,) = torch.autograd.grad(expectation, probability)
    return gradient


def estimated(loss_of_units, units, probability):
    """Expectation of the estimator over all masks."""
    total = torch.zeros_like(probability)
    for mask in masks(len(probability)):
        theta = probability.clone().requires_grad_()
        gated = bernoulli_gate(units[None, :, None], theta, mask[None, :])
        loss_of_units(gated[0, :, 0]).backward()
        total += chance(mask, probability) * theta.grad
    return total


def test_a_squared_loss_by_the_formula_and_by_enumeration():
    a = torch.tensor([0.7, -1.3, 0.4, 2.0], dtype=torch.float64)
    theta = torch.tensor([0.2, 0.5, 0.9, 0.35], dtype=torch.float64)
    target = 1.1
    formula = -2 * a * (target - (theta * a).sum()) + (1 - 2 * theta) * a**2
    by_masks = exact(lambda m: (target - (m * a).sum()) ** 2, theta)
    found = estimated(lambda h: (target - h.sum()) ** 2, a, theta)
    torch.testing.assert_close(by_masks, formula)
    torch.testing.assert_close(found, formula)


@pytest.mark.slow
def test_relu_networks_within_the_trapezoid_rule():
    """Not quadratic in a gate: the estimate is off by some per cent, half of what the
    straight-through estimate (the plain derivative) is."""
    ours, straight_through = [], []
    n, width = 8, 16
    all_masks = torch.stack(masks(n))
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        w, v, b, a, theta = (
            torch.randn(shape, generator=generator, dtype=torch.float64)
            for shape in ((width, n), (width,), (width,), (n,), (n,))
        )
        a, theta = a.abs(), 0.1 + 0.8 * theta.sigmoid()

        def loss(units, w=w, v=v, b=b):
            return (torch.relu(units @ w.T + b) @ v - 0.5) ** 2 / width

        chances = torch.stack([chance(mask, theta) for mask in all_masks])
        expected = exact(lambda m, a=a: loss(m * a), theta)
        probability = theta.clone().requires_grad_()
        gated = bernoulli_gate(a.expand(len(all_masks), n)[:, :, None], probability, all_masks)
        (chances * loss(gated[:, :, 0])).sum().backward()
        gates = all_masks.clone().requires_grad_()
        (chances * loss(gates * a)).sum().backward()
        ours.append(float((probability.grad - expected).norm() / expected.norm()))
        plain = gates.grad.sum(dim=0)
        straight_through.append(float((plain - expected).norm() / expected.norm()))
    assert statistics.median(ours) < 0.2
    assert statistics.median(ours) < 0.7 * statistics.median(straight_through)


def test_weights_of_the_two_slopes():
    theta = torch.tensor([0.25, 0.5, 0.0, 1.0])
    ones, zeros = torch.ones(1, 4), torch.zeros(1, 4)
    assert gate_weight(ones, theta)[0].tolist() == pytest.approx([2.0, 1.0, 50.0, 1 / 1.98])
    assert gate_weight(zeros, theta)[0].tolist() == pytest.approx([2 / 3, 1.0, 1 / 1.98, 50.0])


def test_values_and_the_gradient_of_the_units():
    units = torch.randn(3, 4, 2, requires_grad=True)
    gate = (torch.rand(3, 4) < 0.5).float()
    found = bernoulli_gate(units, torch.full((4,), 0.5), gate)
    assert torch.equal(found, units * gate[..., None])
    (gradient,) = torch.autograd.grad(found.sum(), units)
    assert torch.equal(gradient, gate[..., None].expand(3, 4, 2))
