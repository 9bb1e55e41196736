"""Losses of Stable-Baselines3 as functions, compared with its own updates."""

import pytest
import torch

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

from offline_prune.base.replaced import replaced
from offline_prune.hosts.sb3.host import agent_of
from offline_prune.hosts.sb3.losses import _OneBatch
from offline_prune.hosts.sb3.parts import optimizers_of
from tests.hosts.sb3.learning import MODELS, model_of, parameters


def collected(name):
    """A model whose buffers are filled, and one of its mini-batches."""
    model = model_of(name)
    with replaced(model, "train", lambda **_: None):
        model.learn(64)
    agent = agent_of(model)
    (batch,) = agent.host.draw_batches(None, 1, seed=0)
    return model, agent, batch


def own_gradients(model, batch):
    """Name → gradient with which each optimizer of the model steps in its own training."""
    noted = {}
    names = {id(p): name for name, p in model.policy.named_parameters()}

    def step_of(optimizer):
        def step(*_, **__):
            params = [p for group in optimizer.param_groups for p in group["params"]]
            noted.update({names[id(p)]: p.grad.clone() for p in params if id(p) in names})

        return step

    on_policy = hasattr(model, "rollout_buffer")
    buffer = "rollout_buffer" if on_policy else "replay_buffer"
    with (
        replaced(torch.nn.utils, "clip_grad_norm_", lambda *_: None),  # it comes after the loss
        replaced(model, buffer, WithValues(batch)),
        replaced(model, "_n_updates", -1),
    ):
        for optimizer in optimizers_of(model):
            optimizer.step = step_of(optimizer)
        torch.manual_seed(3)
        if on_policy:
            model.n_epochs = 1
            model.train()
        else:
            model.train(gradient_steps=1, batch_size=len(batch.rewards))
    return noted


class WithValues(_OneBatch):
    """Rollout buffers say how well values were explained, too."""

    @property
    def values(self):
        return self.batch.old_values.numpy()

    @property
    def returns(self):
        return self.batch.returns.numpy()


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_its_own_update(name):
    model, agent, batch = collected(name)
    ours = {}
    for network in agent.networks:
        torch.manual_seed(3)
        loss = network.loss(batch)
        gradients = torch.autograd.grad(loss, list(network.weights.values()))
        ours |= dict(zip(network.weights, gradients, strict=True))
    stock = own_gradients(model, batch)
    assert all(torch.equal(gradient, stock[weight]) for weight, gradient in ours.items())


@pytest.mark.parametrize("name", MODELS)
def test_a_loss_changes_nothing(name):
    model, agent, batch = collected(name)
    before, updates = parameters(model), model._n_updates
    modes = [module.training for module in model.policy.modules()]
    logged = dict(model.logger.name_to_value)
    for network in agent.networks:
        network.loss(batch)
    after = parameters(model)
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert [module.training for module in model.policy.modules()] == modes
    assert (model._n_updates, dict(model.logger.name_to_value)) == (updates, logged)
