"""SNIP and GraSP on problems whose gradients and Hessians are known in closed form."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from offline_prune.masks.allocation import allocate
from offline_prune.saliency import (
    SALIENCIES,
    Objective,
    fisher,
    grasp,
    magnitude,
    prospr,
    random,
    snip,
)
from offline_prune.saliency.objective import hessian_gradient, mean_gradient

A = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
B = torch.tensor([1.0, -1.0])


def quadratic(w: list[float], n_batches: int = 1) -> Objective:
    """L = ½ wᵀAw − bᵀw, the same on every mini-batch."""
    weight = torch.tensor(w, requires_grad=True)
    return Objective({"w": weight}, [lambda: 0.5 * weight @ A @ weight - B @ weight] * n_batches)


@pytest.mark.parametrize("n_batches", [1, 3])
@pytest.mark.parametrize(
    ("w", "g", "hg", "snip_scores", "grasp_scores"),
    [
        ([0.3, -0.8], [-0.8, 0.35], [-1.425, -0.05], [0.24, 0.28], [0.4275, -0.04]),
        ([0.5, -0.5], [-0.25, 0.75], [-0.125, 0.625], [0.125, 0.375], [0.0625, 0.3125]),
    ],
)
def test_quadratic(w, g, hg, snip_scores, grasp_scores, n_batches):
    objective = quadratic(w, n_batches)
    expected = {
        "g": (mean_gradient(objective), g),
        "Hg": (hessian_gradient(objective), hg),
        "SNIP": (snip(objective), snip_scores),
        "Fisher": ({"w": fisher(objective)["w"].float()}, [s**2 for s in snip_scores]),
        # GraSP's paper keeps the lowest −w·Hg; scores here are higher = keep.
        "GraSP": ({"w": -grasp(objective)["w"]}, grasp_scores),
    }
    for name, (found, values) in expected.items():
        torch.testing.assert_close(found["w"], torch.tensor(values), atol=1e-6, rtol=0, msg=name)


def test_snip_and_grasp_disagree_and_a_flipped_sign_would_show():
    objective = quadratic([0.5, -0.5])
    assert allocate(snip(objective), 0.5)["w"].tolist() == [False, True]
    assert allocate(grasp(objective), 0.5)["w"].tolist() == [True, False]


def test_scalar_two_layer_net():
    u, v = (torch.tensor(x, requires_grad=True) for x in (0.7, -1.3))
    objective = Objective({"u": u, "v": v}, [lambda: 0.5 * (v * u * 0.9 - 0.4) ** 2])
    hg = hessian_gradient(objective)
    assert hg["u"].item() == pytest.approx(3.36097682, abs=1e-6)
    assert hg["v"].item() == pytest.approx(-2.92079836, abs=1e-6)
    scores = grasp(objective)
    assert -scores["u"].item() == pytest.approx(-2.35268377, abs=1e-6)
    assert -scores["v"].item() == pytest.approx(-3.79703787, abs=1e-6)
    gradient = mean_gradient(objective)
    signed = [(w * gradient[name]).item() for name, w in objective.weights.items()]
    assert signed == pytest.approx([0.998361, 0.998361], abs=1e-6)  # conserved


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**31))
def test_least_squares_hessian(features, rows, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, features, generator=generator, dtype=torch.float64)
    y = torch.randn(rows, generator=generator, dtype=torch.float64)
    w = torch.randn(features, generator=generator, dtype=torch.float64)
    w.requires_grad_()
    objective = Objective({"w": w}, [lambda: 0.5 * ((x @ w - y) ** 2).mean()])
    expected = (x.T @ x / rows) @ (x.T @ (x @ w.detach() - y) / rows)
    torch.testing.assert_close(hessian_gradient(objective)["w"], expected)


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-3, 1e3), st.integers(0, 2**31))
def test_snip_ranks_alike_at_any_scale_of_the_loss(scale, seed):
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(40, generator=generator, dtype=torch.float64, requires_grad=True)
    x = torch.randn(8, 40, generator=generator, dtype=torch.float64)
    plain = Objective({"w": w}, [lambda: ((x @ w) ** 2).mean()])
    scaled = Objective({"w": w}, [lambda: scale * ((x @ w) ** 2).mean()])
    torch.testing.assert_close(snip(scaled)["w"], scale * snip(plain)["w"])


@pytest.mark.parametrize("saliency", [snip, grasp, fisher, prospr])
def test_a_dead_relu_unit_scores_zero_on_its_row_and_column(saliency):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    with torch.no_grad():
        net[0].bias[2] = -1e6
    x, y = torch.randn(16, 4), torch.randn(16, 3)
    objective = Objective(
        {"first": net[0].weight, "second": net[2].weight},
        [lambda: ((net(x) - y) ** 2).mean()],
    )
    scores = saliency(objective)
    assert not scores["first"][2].any()
    assert not scores["second"][:, 2].any()
    assert scores["first"][0].any()


def test_several_batches_average_the_gradient_before_the_absolute_value():
    w = torch.tensor([1.0, 1.0], requires_grad=True)
    opposed = Objective({"w": w}, [lambda: w.sum(), lambda: w[1] - w[0]])
    assert snip(opposed)["w"].tolist() == [0.0, 1.0]


def test_fisher_squares_before_it_averages():
    """Gradients (1, 1) and (−1, 3) of two mini-batches: w² · (1, 5), where SNIP has w · (0, 2)."""
    w = torch.tensor([3.0, 0.5], requires_grad=True)
    opposed = Objective({"w": w}, [lambda: w.sum(), lambda: 3.0 * w[1] - w[0]])
    assert fisher(opposed)["w"].tolist() == [9.0, 1.25]
    assert snip(opposed)["w"].tolist() == [0.0, 1.0]


def test_fisher_of_tiny_gradients_is_not_zero():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    scores = fisher(Objective({"w": w}, [lambda: 1e-25 * w.sum()]))["w"]
    assert scores[1] / scores[0] == pytest.approx(4.0)


def test_an_unused_weight_scores_zero():
    used, unused = (torch.ones(2, requires_grad=True) for _ in range(2))
    objective = Objective({"used": used, "unused": unused}, [lambda: (used**2).sum()])
    assert snip(objective)["unused"].tolist() == [0.0, 0.0]
    for saliency in (grasp, fisher, prospr):
        assert saliency(objective)["unused"].tolist() == [0.0, 0.0]


def test_a_linear_loss_has_no_curvature():
    w = torch.ones(2, requires_grad=True)
    assert grasp(Objective({"w": w}, [lambda: w.sum()]))["w"].tolist() == [0.0, 0.0]


def test_magnitude_is_the_absolute_value():
    w = torch.tensor([-2.0, 1.0], requires_grad=True)
    assert magnitude(Objective({"w": w}, []))["w"].tolist() == [2.0, 1.0]


def test_random_depends_on_the_seed_alone():
    w = torch.ones(50, requires_grad=True)
    state = torch.get_rng_state()
    first = random(Objective({"w": w}, [], seed=1))["w"]
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, random(Objective({"w": w}, [], seed=1))["w"])
    assert not torch.equal(first, random(Objective({"w": w}, [], seed=2))["w"])


@pytest.mark.parametrize("name", SALIENCIES)
def test_no_saliency_touches_grad(name):
    objective = quadratic([0.3, -0.8])
    SALIENCIES[name](objective)
    assert objective.weights["w"].grad is None
