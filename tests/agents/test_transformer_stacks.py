"""Which layers of a transformer the sparse kernels take, and that d3rlpy's blocks do not notice."""

import pytest
import torch

from offline_prune import CompactEngine
from offline_prune.agents import build_agent
from offline_prune.engines.sparse_mlp import SparseMLP
from tests.engines.test_compact import random_mask
from tests.worlds import SEQUENCES, agent, dataset, params

DISCRETE = ("vector-discrete", "decision_transformer")


def of_the_transformer(subject):
    return [s for s in subject.stacks if hasattr(s.owner, "_gpt2")]


@pytest.mark.parametrize(("kind", "algo"), SEQUENCES)
def test_every_prunable_layer_is_in_one_stack(kind, algo):
    subject = agent(kind, algo)
    found = [layer.name for s in of_the_transformer(subject) for layer in s.layers]
    assert sorted(found) == sorted(subject.networks[0].weights)


def test_the_layers_of_a_block_are_one_stack():
    (first, *_) = (s for s in of_the_transformer(agent(*DISCRETE)) if len(s.steps) == 2)
    assert [step.activation for step in first.steps] == ["gelu", "none"]
    assert first.entry == "_gpt2._transformer.0._mlp._l1"
    assert first.passed == ("_gpt2._transformer.0._mlp._activation",)


def test_layers_around_an_activation_that_the_kernels_do_not_know_are_apart():
    chosen = {**params(*SEQUENCES[0]), "activation_type": "none"}
    subject = build_agent(dataset(SEQUENCES[0][0]), SEQUENCES[0][1], algo_params=chosen).agent
    assert all(len(stack.steps) == 1 for stack in of_the_transformer(subject))


@pytest.mark.parametrize(("kind", "algo"), SEQUENCES)
@pytest.mark.parametrize("training", [True, False])
def test_the_transformer_computes_the_same(kind, algo, training):
    subject = agent(kind, algo)
    transformer = subject.algo.impl.modules.transformer.train(training)
    mask = random_mask(subject)
    batch = dataset(kind).buffer.sample_trajectory_batch(4, 5)

    def outputs(engine):
        engine.attach(mask)
        assert engine.forms["actor"].form == ("sparse" if engine._kernels == "sparse" else "masked")
        kept = [m for m in transformer.modules() if type(m) is SparseMLP]
        fields = (batch.observations, batch.actions, batch.returns_to_go, batch.timesteps)
        given = [torch.as_tensor(field) for field in fields]
        torch.manual_seed(0)
        found = transformer(
            given[0], given[1], given[2], given[3].long(), 1 - torch.as_tensor(batch.masks)
        )
        engine.detach()
        return len(kept), found if torch.is_tensor(found) else found[1]

    n_dense, expected = outputs(CompactEngine(subject, "dense"))
    n_sparse, found = outputs(CompactEngine(subject, "sparse"))
    assert (n_dense, n_sparse) == (0, len(of_the_transformer(subject)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
