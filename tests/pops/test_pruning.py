"""The pruning phase: schedule, gate, pauses and ends, by scripted gates."""

import itertools

import d3rlpy
import pytest
import torch

from offline_prune.agents import Agent
from offline_prune.masks.allocation import kept_count
from offline_prune.masks.schedules import cubic_sparsity
from offline_prune.pops.options import ShrinkOptions
from offline_prune.pops.pruning import prune_student
from tests.pops.worlds import ScriptedGate, workshop


def phase(gate, n_steps=40, final=0.9, patience=5, kind="vector-discrete"):
    shop = workshop(kind)
    d3rlpy.seed(0)
    student = shop.copy_of_teacher()
    options = ShrinkOptions(
        final_sparsity=final, n_steps=n_steps, gate_interval=10, patience=patience
    )
    return student, prune_student(shop, student, gate, options)


def zeros(algo):
    return {name: (w.numel(), int(w.count_nonzero())) for name, w in Agent.of(algo).weights.items()}


@pytest.mark.parametrize("kind", ["vector-discrete", "pixel-continuous"])
def test_every_tensor_has_the_schedules_sparsity_when_it_is_scored(kind):
    gate = ScriptedGate(1.0, look=zeros)
    student, done = phase(gate, kind=kind)
    assert done.steps == 40
    for number, counts in enumerate(gate.seen, 1):
        sparsity = cubic_sparsity(10 * number, 0.9, 0, 40)
        for n, kept in counts.values():
            assert kept == kept_count(n, sparsity)
    assert done.sparsest.step == 40
    assert zeros(student) == gate.seen[-1]  # exact zeros once it is let go


def test_the_sparsest_student_is_kept_as_it_was_scored():
    gate = ScriptedGate(
        1.0, 1.5, 0.4, look=lambda algo: Agent.of(algo).weights["imitator._fc.weight"].clone()
    )
    student, done = phase(gate)
    assert (done.sparsest.step, done.sparsest.score, done.best_score) == (20, 1.5, 1.5)
    kept = done.sparsest.state["_fc.weight"]
    assert torch.equal(kept, gate.seen[1])
    assert not torch.equal(kept, student.impl.modules.imitator._fc.weight)
    pruned = ~done.sparsest.mask.nominal["imitator._fc.weight"]
    assert not kept[pruned].any()


def test_below_the_lower_bound_the_schedule_stands_until_the_student_has_recovered():
    gate = ScriptedGate(1.0, 0.4, 0.3, 0.6, 1.0)
    _, done = phase(gate)
    found = [row["sparsity"] for row in done.history]
    # Frozen by the second score, for two intervals; the fourth one lets it run again.
    assert found[0] < found[1] == found[2] == found[3] < found[4] < found[5]
    assert done.steps == 60  # two intervals of 10 do not count
    assert done.sparsest.step == 60


def test_between_the_bounds_pruning_goes_on_and_nothing_is_kept():
    gate = ScriptedGate(1.0, 0.7, 0.7, 0.7)
    _, done = phase(gate, patience=2)
    found = [row["sparsity"] for row in done.history]
    assert found[0] < found[1] < found[2] < found[3]
    assert done.sparsest.step == 10
    # From the schedule's end on the same score is a failure, patience counts two.
    assert done.steps == 50


def test_patience_counts_failures_in_a_row():
    _, done = phase(ScriptedGate(1.0, 0.1, 0.1, 0.6, 0.1, 0.1, 0.1), patience=3)
    assert done.steps == 70
    assert done.sparsest.step == 10


def test_the_end_is_patient_too():
    _, done = phase(ScriptedGate(0.6, 0.6, 0.6, 0.6, 0.6, 1.0))
    assert (done.steps, done.sparsest.step) == (60, 60)
    assert done.sparsest.mask.sparsity == pytest.approx(0.9, abs=0.01)


@pytest.mark.slow
def test_it_ends_where_nothing_shrinks_any_more():
    assert phase(ScriptedGate(1.0), final=0.0)[1].steps == 10
    # Of 120, 576 and 72 weights 1, 6 and 1 leave, the last one at a sparsity of 5.5 / 576 = .955 %.
    _, done = phase(ScriptedGate(1.0), final=0.01, n_steps=1000)
    assert done.steps < 1000
    assert done.sparsest.mask.n_kept == 119 + 570 + 71


@pytest.mark.slow
def test_a_small_student_goes_on_where_counts_stand_still_for_a_while():
    gate = ScriptedGate(1.0, look=zeros)
    _, done = phase(gate, n_steps=400)
    counts = [sum(kept for _, kept in seen.values()) for seen in gate.seen]
    assert any(a == b for a, b in itertools.pairwise(counts))
    assert done.sparsest.mask.n_kept == 12 + 58 + 7


def test_no_student_is_good():
    _, done = phase(ScriptedGate(0.2, 0.3, 0.1), patience=3)
    assert done.sparsest is None
    assert (done.best_score, done.steps) == (0.3, 30)


def test_one_weight_of_every_tensor_stays():
    gate = ScriptedGate(1.0, look=zeros)
    phase(gate, final=0.9999)
    assert [kept for _, kept in gate.seen[-1].values()] == [1, 1, 1]
