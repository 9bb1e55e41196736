"""Teachers and gates for the tests of this folder."""

import functools

import d3rlpy
from d3rlpy.logging import NoopAdapterFactory

from offline_prune.pops.student import Workshop
from offline_prune.pops.teacher import Teacher
from tests.worlds import agent, dataset


class ScriptedGate:
    """Gives scores one after another, the last one for ever; notes what it is shown."""

    def __init__(self, *scores, look=lambda algo: None):
        self.objective, self.lower_bound, self.description = 1.0, 0.5, "a script"
        self.scores, self.look, self.seen = list(scores), look, []

    def score(self, algo):
        self.seen.append(self.look(algo))
        return self.scores.pop(0) if len(self.scores) > 1 else self.scores[0]


class FunctionGate:
    """Scores by a function of the student."""

    def __init__(self, function):
        self.objective, self.lower_bound, self.description = 1.0, 0.5, "a function"
        self.score = function


@functools.cache
def trained(kind, algo):
    """A teacher after a few gradient steps on noise."""
    d3rlpy.seed(0)
    subject = agent(kind, algo)
    subject.algo.fit(
        dataset(kind).buffer,
        n_steps=20,
        n_steps_per_epoch=20,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
    )
    return subject.algo


def workshop(kind="vector-discrete", algo="bc", temperature=1.0):
    """Makes students of such a teacher."""
    data = dataset(kind)
    return Workshop(Teacher.of(trained(kind, algo), data), data, 16, 1e-2, temperature)
