import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_prune.compaction import dense_packings, sparse_packing
from offline_prune.masks.build import mask_from_kept
from offline_prune.masks.live import live_units
from tests.worlds import agent

AGENTS = {(k, a): agent(k, a) for k in ("vector-continuous", "pixel-discrete") for a in ("cql",)}


def random_mask(subject, seed, density):
    generator = torch.Generator().manual_seed(seed)
    kept = {
        name: torch.rand(w.shape, generator=generator) < density
        for name, w in subject.weights.items()
    }
    return mask_from_kept(subject, kept).connected


masks = given(
    case=st.sampled_from(sorted(AGENTS)),
    seed=st.integers(0, 2**31),
    density=st.sampled_from([0.0, 0.01, 0.05, 0.2, 0.9, 1.0]),
)


@masks
@settings(max_examples=40, deadline=None)
def test_dense_packings_take_out_exactly_the_dead_units(case, seed, density):
    subject = AGENTS[case]
    connected = random_mask(subject, seed, density)
    live = live_units(subject.chains, connected)
    for network in subject.separable:
        packings = dense_packings(network, live)
        for layer, (module, packed) in zip(network.layers, packings, strict=True):
            assert module is layer.module
            weight, bias = packed["weight"], packed["bias"]
            units = max(1, int(live[layer.name].sum()))
            assert weight.shape[0] == bias.shape[0] == units
            # No kept weight is lost, and what comes back stands where it was.
            (original,) = weight.originals
            small = weight.pack([original])
            assert small.shape == weight.shape
            back = torch.zeros_like(original)
            weight.unpack(small, [back])
            torch.testing.assert_close(
                back[connected[layer.name]], original[connected[layer.name]], atol=0, rtol=0
            )
            assert int(weight.pack([connected[layer.name]]).sum()) == int(
                connected[layer.name].sum()
            )


@masks
@settings(max_examples=40, deadline=None)
def test_sparse_packing_keeps_every_connected_weight_and_live_bias(case, seed, density):
    subject = AGENTS["vector-continuous", "cql"]
    connected = random_mask(subject, seed, density)
    live = live_units(subject.chains, connected)
    assert len(subject.stacks) == len(subject.chains)
    for stack in subject.stacks:
        names = [layer.name for layer in stack.layers]
        packing, steps = sparse_packing(stack, live, connected)
        kept = sum(int(connected[name].sum()) for name in names)
        assert kept == sum(int(step.sum()) for step in steps)
        assert packing.shape == (kept + sum(int(live[name].sum()) for name in names),)
        back = [torch.zeros_like(original) for original in packing.originals]
        packing.unpack(packing.pack(packing.originals), back)
        masks = [connected[name] for name in names]
        masks += [live[name] for name in names]
        for original, restored, mask in zip(packing.originals, back, masks, strict=True):
            assert torch.equal(restored, original * mask)


def test_every_output_of_a_head_is_alive():
    subject = AGENTS["vector-continuous", "cql"]
    nothing = {name: torch.zeros(w.shape, dtype=torch.bool) for name, w in subject.weights.items()}
    live = live_units(subject.chains, nothing)
    for chain in subject.chains:
        *hidden, heads = chain.stages
        assert all(bool(live[head.name].all()) for head in heads.layers)
        assert not any(bool(live[stage.layers[0].name].any()) for stage in hidden)
