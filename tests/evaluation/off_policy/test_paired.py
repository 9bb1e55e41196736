import dataclasses

import numpy as np
import pytest

from offline_prune.errors import InputError
from offline_prune.evaluation.off_policy import (
    FittedQ,
    fitted_q_evaluation,
    paired_difference,
    split_episodes,
)
from tests.evaluation.off_policy.worlds import away, chain

DENSE = FittedQ(4.0, (1.0, 4.0, 7.0, 4.0), 0.9, 5, 0, -9.0, 9.0, "a", 0.0, 0.1)
PRUNED = dataclasses.replace(DENSE, value=4.5, values=(1.0, 5.0, 7.0, 5.0), seconds=0.2)


def test_what_initial_states_share_cancels():
    found = paired_difference(PRUNED, DENSE)
    assert found.value == pytest.approx(0.5)
    # The bootstrap's error of 0, 1, 0, 1, whose spread is .5: .5 / sqrt(n − 1) with its factor.
    assert found.error == pytest.approx(0.5 / np.sqrt(3), rel=0.05)
    assert found.seeds == 4
    assert found.low < 0.0 < found.high
    scaled = paired_difference(PRUNED, DENSE, scale=10.0)
    assert scaled.value == pytest.approx(0.05)
    assert scaled.error == pytest.approx(found.error / 10)
    assert paired_difference(DENSE, PRUNED).value == pytest.approx(-0.5)
    same = paired_difference(DENSE, DENSE)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def again(fitted, seed, shift):
    """Another fit, whose values are all this much higher."""
    values = tuple(value + shift for value in fitted.values)
    return dataclasses.replace(fitted, values=values, value=fitted.value + shift, seed=seed)


def test_fits_that_disagree_widen_the_interval():
    alike = [again(PRUNED, seed, 0.0) for seed in range(3)]
    apart = [again(PRUNED, seed, shift) for seed, shift in enumerate((-6.0, 0.0, 6.0))]
    dense = [again(DENSE, seed, 0.0) for seed in range(3)]
    sure, unsure = paired_difference(alike, dense), paired_difference(apart, dense)
    assert sure.value == unsure.value == pytest.approx(0.5)
    # Of three means −5.5, .5, 6.5 alone: their deviation √24 / √3, and √(3 / 2).
    assert unsure.error == pytest.approx(np.sqrt(24 / 3 * 3 / 2), rel=0.05)
    assert sure.error < 0.4
    assert (sure.seeds, sure.degrees) == (3, 2)
    # What both policies' fits share cancels.
    shared = [again(DENSE, seed, shift) for seed, shift in enumerate((-6.0, 0.0, 6.0))]
    assert paired_difference(apart, shared).error == pytest.approx(sure.error)


def test_fits_are_paired_one_by_one():
    two = [DENSE, again(DENSE, 1, 0.0)]
    for other, match in (
        ([PRUNED], "one by one"),
        ([], "one by one"),
        ([again(PRUNED, 1, 0.0), PRUNED], "seed"),
        ([PRUNED, dataclasses.replace(again(PRUNED, 1, 0.0), gamma=0.5)], "gamma"),
    ):
        with pytest.raises(InputError, match=match):
            paired_difference(other, two)
    unlike = [dataclasses.replace(fit, n_steps=n) for n, fit in enumerate(two)]
    with pytest.raises(InputError, match="n_steps"):
        paired_difference(unlike, unlike)
    with pytest.raises(InputError, match="share one"):
        paired_difference([PRUNED, PRUNED], [DENSE, DENSE])


@pytest.mark.parametrize(
    ("change", "match"),
    [({"seed": 1}, "seed"), ({"gamma": 0.5}, "gamma"), ({"n_steps": 6}, "n_steps"),
     ({"states": "b"}, "initial states")],
)  # fmt: skip
def test_only_what_differs_in_the_policy_is_paired(change, match):
    with pytest.raises(InputError, match=match):
        paired_difference(dataclasses.replace(PRUNED, **change), DENSE)


def test_one_episode_and_no_scale_are_refused():
    one = dataclasses.replace(DENSE, values=(1.0,))
    with pytest.raises(InputError, match="two at least"):
        paired_difference(one, one)
    for scale in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="scale"):
            paired_difference(PRUNED, DENSE, scale=scale)


def test_values_of_the_same_states_have_the_same_digest():
    train, held = split_episodes(chain(30), 0.2, seed=0)
    algo = away(train)
    sizes = {"n_steps": 1, "hidden_units": (8,)}
    one = fitted_q_evaluation(algo, train, held, **sizes)
    assert fitted_q_evaluation(algo, train, held, seed=1, **sizes).states == one.states
    other = split_episodes(chain(30), 0.2, seed=1)[1]
    assert fitted_q_evaluation(algo, train, other, **sizes).states != one.states
    assert paired_difference(one, one).value == 0.0
