"""What leads to an output, where units mix or the wiring is not known."""

import copy
import warnings

import d3rlpy
import pytest
import torch

from offline_prune import prune_then_train, score
from offline_prune.agents import build_agent
from offline_prune.masks.build import mask_from_kept
from offline_prune.masks.collapse import LayerCollapseWarning, warn_of_collapse
from offline_prune.masks.mask import Mask
from tests.worlds import dataset

KIND = "vector-continuous"
SMALL = {"batch_size": 8, "hidden_units": [12, 12], "n_action_samples": 2}
IQN = {"q_func_factory": d3rlpy.models.IQNQFunctionFactory()}
QR = {"q_func_factory": d3rlpy.models.QRQFunctionFactory(n_quantiles=4)}
SIMBA = {"encoder": "simba", "simba": {"feature_size": 8, "hidden_size": 16}}
DROPOUT = {
    name: d3rlpy.models.VectorEncoderFactory([12, 12], dropout_rate=0.1)
    for name in ("actor_encoder_factory", "critic_encoder_factory")
}


def small(params):
    """With hidden layers of a few units, where the encoder does not say it itself."""
    own = params is DROPOUT or params is SIMBA
    return {k: v for k, v in SMALL.items() if not own or k != "hidden_units"} | params


def cql(params):
    return build_agent(dataset(KIND), "cql", algo_params=small(params)).agent


def emptied(agent, which):
    """A mask that keeps half of every layer, and nothing of one of a critic's."""
    names = list(next(net for net in agent.networks if net.role == "critic[0]").weights)
    generator = torch.Generator().manual_seed(0)
    kept = {n: torch.rand(w.shape, generator=generator) < 0.5 for n, w in agent.weights.items()}
    kept[names[which]] = torch.zeros_like(kept[names[which]])
    return mask_from_kept(agent, kept), names[which]


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("params", [{}, QR, {"encoder": "layer_norm"}], ids=["plain", "qr", "norm"])
def test_an_empty_layer_cuts_every_path(params, which):
    agent = cql(params)
    mask, name = emptied(agent, which)
    assert mask["critic[0]"].effective_sparsity == 1.0
    assert mask["critic[0]"].n_connected == 0
    assert 0.4 < mask["critic[1]"].effective_sparsity < 0.7
    with pytest.warns(
        LayerCollapseWarning, match="No path .*critic.0.*" + name.replace(".", r"\.")
    ):
        warn_of_collapse(agent, mask)


@pytest.mark.parametrize("params", [IQN, SIMBA, DROPOUT], ids=["iqn", "simba", "dropout"])
def test_where_wiring_is_not_known_nothing_is_claimed(tmp_path, params):
    agent = cql(params)
    mask, name = emptied(agent, 1)
    assert mask["critic[0]"].effective_sparsity is None
    assert mask["critic[0]"].n_connected is None
    assert mask.effective_sparsity is None
    assert "effective not known" in repr(mask)
    with pytest.warns(LayerCollapseWarning, match=name.replace(".", r"\.")):
        warn_of_collapse(agent, mask)


def test_layer_normalisation_lets_everything_lead_somewhere():
    agent = cql({"encoder": "layer_norm"})
    kept = {n: torch.arange(w.numel()).view(w.shape) % 3 == 0 for n, w in agent.weights.items()}
    mask = mask_from_kept(agent, kept)
    assert mask.n_connected == mask.n_kept
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_collapse(agent, mask)


@pytest.mark.parametrize("params", [IQN, {"encoder": "layer_norm"}])
def test_masks_keep_what_is_known_of_them(tmp_path, params):
    mask, _ = emptied(cql(params), 1)
    mask.save(tmp_path / "mask.safetensors")
    for other in (Mask.load(tmp_path / "mask.safetensors"), copy.deepcopy(mask)):
        assert other == mask
        assert other.unfollowed == mask.unfollowed
        assert other.severed == mask.severed
        assert other.effective_sparsity == mask.effective_sparsity
    assert bool(mask.unfollowed) != bool(mask.severed)


def test_runs_and_scores_say_so():
    params = SIMBA
    result = prune_then_train(dataset(KIND), "cql", 0.5, n_steps=2, evaluate=0, progress=False,
                              algo_params=small(params))  # fmt: skip
    assert result.to_dict()["effective_sparsity"] is None
    cells = [list(column.cells) for column in result.summary().columns]
    assert cells[-1][-1] == "not known"
    scored = score(dataset(KIND), "cql", 0.5, algo_params=small(params))
    assert "not known" in scored.summary().caption
