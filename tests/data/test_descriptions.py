from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from offline_prune import load_dataset
from offline_prune.data.descriptions import action_words, observation_words
from offline_prune.data.observations import ObservationLayout
from tests.worlds import dataset


def test_words_of_gymnasiums_own_tables():
    metadata = load_dataset("halfcheetah/medium-small-v0").metadata
    words = observation_words(metadata)
    assert len(words) == 17
    assert words[1] == "angle of the front tip, angle (rad)"
    assert action_words(metadata)[5] == "Torque applied on the front foot rotor, torque (N m)"
    assert observation_words(load_dataset("cartpole/mixture-v0").metadata)[2] == "Pole Angle"


def test_parts_of_a_dict_say_it_themselves():
    space = Dict({"arm": Box(-1, 1, (2,), np.float32), "door": Discrete(2, start=3)})
    metadata = replace(
        load_dataset("pendulum/mixture-v0").metadata, observation_layout=ObservationLayout.of(space)
    )
    assert observation_words(metadata) == ("arm[0]", "arm[1]", "door is 3", "door is 4")


class Silent(gymnasium.Env):
    """| Num | Observation |
    |---|---|
    | 0 | one of two |
    """


SPECS = {
    "none": None,
    "unknown": gymnasium.envs.registration.EnvSpec("lab/Arm-v0", entry_point="nowhere:Arm"),
    "another size": gymnasium.envs.registration.EnvSpec("lab/Arm-v0", entry_point=Silent),
    "wrapped": replace(
        gymnasium.spec("Pendulum-v1"),
        additional_wrappers=(
            gymnasium.envs.registration.WrapperSpec(
                "x", "gymnasium.wrappers:FilterObservation", {}
            ),
        ),
    ),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_nothing_is_said_that_is_not_known(spec):
    metadata = replace(load_dataset("pendulum/mixture-v0").metadata, env_spec=spec)
    assert observation_words(metadata) == action_words(metadata) == ()


def test_images_have_no_words():
    assert observation_words(dataset("pixel-discrete").metadata) == ()
