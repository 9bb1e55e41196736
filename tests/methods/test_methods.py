"""The three moments of a method, seen through one that changes its mask."""

import torch

from offline_prune.agents import build_agent
from offline_prune.masks.build import mask_from_kept
from offline_prune.methods import (
    METHODS,
    PruningMethod,
    PruningSettings,
    SingleShot,
    make_method,
)
from offline_prune.run.pruned_agent import hold
from offline_prune.run.training import train
from offline_prune.saliency import snip
from tests.worlds import dataset, params


class HalveTwice(PruningMethod):
    """Keep half the weights, and from step 3 on half of those."""

    def __init__(self, settings):
        super().__init__(settings)
        self.steps = []

    def _mask(self, agent, stride):
        kept = {}
        for name, weight in agent.weights.items():
            kept[name] = (torch.arange(weight.numel()) % stride == 0).reshape(weight.shape)
        return mask_from_kept(agent, kept)

    def before_training(self, agent, data):
        return self._mask(agent, 2)

    def after_step(self, agent, engine, step):
        self.steps.append(step)
        return self._mask(agent, 4) if step == 3 else None

    def finish(self, agent, engine):
        return self._mask(agent, 4)


def test_a_method_may_change_its_mask_while_d3rlpy_trains():
    data = dataset("vector-continuous")
    params_ = params("vector-continuous", "iql")
    agent = build_agent(data, "iql", algo_params=params_).agent
    method = HalveTwice(PruningSettings(agent.per_network(0.5)))
    held, _ = hold(agent, data, method, "auto")
    train(held, data, 6)
    assert method.steps == [1, 2, 3, 4, 5, 6]
    final = held.finish()
    assert held.engine.mask is None
    for name, weight in agent.weights.items():
        assert not weight[~final.connected[name]].any()


def test_single_shot_keeps_its_mask():
    data = dataset("vector-continuous")
    agent = build_agent(data, "bc", algo_params=params("vector-continuous", "bc")).agent
    method = make_method("snip", PruningSettings(agent.per_network(0.5)))
    assert isinstance(method, SingleShot)
    assert method.saliency is snip
    mask = method.before_training(agent, data)
    assert method.after_step(agent, None, 1) is None
    assert method.finish(agent, None) is mask


def test_every_saliency_is_a_method():
    assert {"snip", "grasp", "fisher", "prospr", "magnitude", "random"} <= set(METHODS)
