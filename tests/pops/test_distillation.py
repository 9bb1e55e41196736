"""The losses, on numbers solved by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from offline_prune.pops.distillation import kullback_leibler, squashed_mean_square


def test_divergence_of_a_student_that_prefers_the_other_action():
    # p_T = (3/4, 1/4), p_S = (1/4, 3/4): ¾·ln 3 − ¼·ln 3 = ½·ln 3.
    teacher = torch.tensor([[math.log(3.0) * 0.01, 0.0]])
    student = torch.tensor([[0.0, math.log(3.0)]])
    loss = kullback_leibler(teacher, student, 0.01)
    assert loss.item() == pytest.approx(0.5 * math.log(3.0), rel=1e-5)


def test_divergence_is_the_mean_over_states():
    # The second state: p_T = p_S, nothing to pay.
    teacher = torch.tensor([[math.log(3.0), 0.0], [5.0, 5.0]])
    student = torch.tensor([[0.0, math.log(3.0)], [-2.0, -2.0]])
    loss = kullback_leibler(teacher, student, 1.0)
    assert loss.item() == pytest.approx(0.25 * math.log(3.0), rel=1e-5)


def test_a_sharp_teacher_and_an_undecided_student_are_apart_by_the_log_of_the_actions():
    teacher = torch.tensor([[1e4, 0.0, -1e4], [0.0, 0.0, 1e4]])
    loss = kullback_leibler(teacher, torch.zeros(2, 3), 0.01)
    assert loss.item() == pytest.approx(math.log(3.0), rel=1e-6)


def test_gradient_is_the_difference_of_the_probabilities():
    teacher = torch.tensor([[0.3, -0.2, 0.1]], requires_grad=True)
    student = torch.tensor([[1.0, 2.0, -1.0]], requires_grad=True)
    kullback_leibler(teacher, student, 0.5).backward()
    expected = student.softmax(1) - (teacher / 0.5).softmax(1)
    torch.testing.assert_close(student.grad, expected.detach())
    assert teacher.grad is None


@given(
    st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3),
    st.floats(0.0009765625, 100, width=32),
    st.floats(-100, 100, width=32),
)
def test_no_loss_where_the_student_has_the_teachers_scores_over_the_temperature(
    scores, temperature, shift
):
    teacher = torch.tensor([scores], dtype=torch.float64)
    assert abs(kullback_leibler(teacher, teacher / temperature + shift, temperature)) < 1e-8


def test_squashed_mean_square():
    # tanh(½·ln 3) = ½; (½ − 1)² = ¼, (0 − (−1))² = 1: mean ⅝.
    means = torch.tensor([[0.5 * math.log(3.0), 0.0]], requires_grad=True)
    actions = torch.tensor([[1.0, -1.0]])
    loss = squashed_mean_square(actions, means)
    assert loss.item() == pytest.approx(0.625, rel=1e-6)
    loss.backward()
    # d/dμ = (tanh μ − a)·(1 − tanh² μ), both over A = 2 times 2.
    torch.testing.assert_close(means.grad, torch.tensor([[-0.375, 1.0]]))
