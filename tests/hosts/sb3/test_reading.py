import numpy as np
import pytest
from gymnasium import spaces

from offline_prune.errors import InputError, UnsupportedExportError
from offline_prune.hosts.sb3.reading import reading_of
from tests.hosts.sb3.models import GOAL, VECTOR

FIRST = spaces.Box(0, 255, (3, 36, 40), np.uint8)


def test_a_dict_is_read_part_by_part_and_back():
    reading = reading_of(GOAL, None)
    assert reading.shape == (4 + 5 + 2,)
    named = {"wanted": np.ones((7, 2)), "achieved": np.zeros((7, 2, 2)),
             "observation": np.full((7, 5), 2.0)}  # fmt: skip
    rows = reading.rows(named)
    assert rows[0].tolist() == [0] * 4 + [2] * 5 + [1] * 2
    for name, found in reading.as_asked(rows).items():
        np.testing.assert_array_equal(found, named[name])
    assert reading.words == (
        "the parts one after another, flat: achieved (2 x 2), observation (5), wanted (2)"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda named: named.pop("wanted"), "a mapping of achieved, observation, wanted"),
        (lambda named: named.update(wanted=np.ones((7, 3))), r"observations\['wanted'\] has the"),
        (lambda named: named.update(wanted=np.ones((6, 2))), "different lengths"),
    ],
)
def test_parts_that_do_not_fit(change, words):
    reading = reading_of(GOAL, None)
    named = reading.as_asked(reading.drawn()[:7])
    change(named)
    with pytest.raises(InputError, match=words):
        reading.rows(named)


@pytest.mark.parametrize(("shape", "last"), [((3, 36, 40), False), ((36, 40, 3), True)])
def test_images_are_read_as_they_are_given(shape, last):
    reading = reading_of(FIRST, np.zeros((2, *shape)))
    assert (reading.shape, reading.channels_last) == (shape, last)
    assert reading.words == ("rows, columns, channels" if last else "channels, rows, columns")
    assert reading_of(FIRST, None).shape == (3, 36, 40)


def test_images_of_a_dict_are_read_channels_first():
    space = spaces.Dict({"eye": FIRST})
    last = np.random.default_rng(0).integers(0, 256, (2, 36, 40, 3))
    reading = reading_of(space, None)
    first = reading.rows({"eye": np.moveaxis(last, -1, 1)})
    np.testing.assert_array_equal(reading.rows({"eye": last}), first)


def test_drawn_observations_are_of_the_space():
    wide = np.array([1.0, 3.4e38, np.inf], np.float32)
    drawn = reading_of(spaces.Box(-wide, wide), None).drawn()
    assert np.abs(drawn[:, 0]).max() <= 1.0
    assert 2.0 < np.abs(drawn[:, 1:]).max() < 6.0
    images = reading_of(FIRST, None).drawn()
    assert (images == images.round()).all()
    assert 250 < images.max() <= 255
    switches = reading_of(spaces.MultiBinary(4), None).drawn()
    assert set(switches.ravel()) == {0.0, 1.0}
    np.testing.assert_array_equal(drawn, reading_of(spaces.Box(-wide, wide), None).drawn())


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (spaces.Discrete(4), "observation_space is Discrete"),
        (spaces.MultiDiscrete([4, 2]), "observation_space is MultiDiscrete"),
        (spaces.Dict({"a": VECTOR, "n": spaces.Discrete(4)}), r"\['n'\] is Discrete"),
    ],
)
def test_spaces_of_which_there_is_no_form(space, words):
    with pytest.raises(UnsupportedExportError, match=words):
        reading_of(space, None)
