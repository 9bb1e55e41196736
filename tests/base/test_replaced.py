"""Attributes that are others for a while."""

import pytest

from offline_prune.base.replaced import replaced


class Thing:
    shared = 1


def test_an_attribute_comes_back_as_it_was_even_after_an_error():
    thing = Thing()
    thing.own = 2
    with replaced(thing, "own", 3), replaced(thing, "shared", 4), replaced(Thing, "shared", 5):
        assert (thing.own, thing.shared, Thing.shared) == (3, 4, 5)
    with pytest.raises(KeyError), replaced(thing, "own", 3):
        raise KeyError
    assert vars(thing) == {"own": 2}
    assert Thing.shared == 1
