import numpy as np
import pytest
import torch
from d3rlpy.torch_utility import TorchMiniBatch

from offline_prune.ofenet import OFENet, auxiliary_batch_loss, auxiliary_loss, trainable
from tests.worlds import dataset


def batch_of(n=8):
    rng = torch.Generator().manual_seed(0)
    s, a, following = (torch.randn(n, k, generator=rng) for k in (3, 2, 3))
    return s, a, following


def test_the_mean_over_batch_and_dimensions_with_statistics_of_the_batch():
    ofenet = OFENet(3, 2, n_layers=1, units=2).double().eval()
    s, a, following = (t.double() for t in batch_of())

    def layer(block, x):
        h = x @ block.linear.weight.detach().numpy().T + block.linear.bias.detach().numpy()
        h = (h - h.mean(0)) / np.sqrt(h.var(0) + 1e-5)
        return np.concatenate([x, h / (1 + np.exp(-h))], axis=1)

    z = layer(ofenet.state_branch.blocks[0], s.numpy())
    z = layer(ofenet.state_action_branch.blocks[0], np.concatenate([z, a.numpy()], axis=1))
    head = ofenet.prediction
    predicted = z @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    expected = ((predicted - following.numpy()) ** 2).sum() / (8 * 3)
    assert auxiliary_loss(ofenet, s, a, following).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("mode", [True, False])
def test_nothing_changes_unless_asked(mode):
    ofenet = OFENet(3, 2, n_layers=2, units=4).train(mode)
    ofenet.state_branch.blocks[0].train(not mode)
    modes = [module.training for module in ofenet.modules()]
    before = {n: t.clone() for n, t in ofenet.state_dict().items()}
    loss = auxiliary_loss(ofenet, *batch_of())
    assert [module.training for module in ofenet.modules()] == modes
    assert all(torch.equal(t, before[n]) for n, t in ofenet.state_dict().items())
    same = auxiliary_loss(ofenet, *batch_of(), update_statistics=True)
    assert torch.equal(same, loss)
    changed = {n for n, t in ofenet.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {n for n, _ in ofenet.named_buffers()}


def test_gradients_do_not_depend_on_what_happens_to_the_statistics():
    ofenet = OFENet(3, 2, n_layers=2, units=4)
    weights = list(ofenet.parameters())
    pure = torch.autograd.grad(auxiliary_loss(ofenet, *batch_of()), weights)
    moved = auxiliary_loss(ofenet, *batch_of(), update_statistics=True)
    for one, other in zip(pure, torch.autograd.grad(moved, weights), strict=True):
        assert torch.equal(one, other)


def test_hessian_vector_products_exist():
    ofenet = OFENet(3, 2, n_layers=2, units=4).double()
    weights = [m.weight for m in ofenet.modules() if isinstance(m, torch.nn.Linear)]
    loss = auxiliary_loss(ofenet, *(t.double() for t in batch_of()))
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    squared = sum((g * g.detach()).sum() for g in gradients)
    assert all(h.isfinite().all() for h in torch.autograd.grad(squared, weights))


def test_trainable_is_for_a_while_and_hooks_survive_it():
    ofenet = OFENet(3, 2, n_layers=1, units=2).requires_grad_(False)
    ofenet.prediction.bias.requires_grad_(True)
    weight = ofenet.prediction.weight
    calls = []
    with trainable(ofenet):
        assert all(p.requires_grad for p in ofenet.parameters())
        weight.register_post_accumulate_grad_hook(lambda w: calls.append(w.grad.clone()))
    assert [n for n, p in ofenet.named_parameters() if p.requires_grad] == ["prediction.bias"]
    with trainable(ofenet):
        auxiliary_loss(ofenet, *batch_of()).backward()
    assert len(calls) == 1


@pytest.mark.parametrize("semantics", ["exact", "d3rlpy"])
def test_a_batch_of_d3rlpys_without_the_transitions_that_terminate(semantics):
    data = dataset("vector-continuous").with_semantics(semantics)
    raw = data.buffer.batch_at(np.arange(30))
    assert raw.terminals.any()
    batch = TorchMiniBatch.from_batch(raw, 0.99, False, "cpu:0")
    ofenet = OFENet(5, 2, n_layers=1, units=2)
    known = ~raw.terminals.astype(bool).flatten()
    kept = (raw.observations[known], raw.actions[known], raw.next_observations[known])
    expected = auxiliary_loss(ofenet, *(torch.tensor(field) for field in kept))
    assert torch.equal(auxiliary_batch_loss(ofenet, batch), expected)
