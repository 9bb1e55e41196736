import copy

import d3rlpy
import pytest
import torch
from d3rlpy.models.torch.encoders import compute_output_size

from offline_prune.errors import AlgorithmError, InputError, UnknownNameError
from offline_prune.ofenet import OFENetEncoderFactory, find_readers, share_ofenet
from tests.ofenet.algorithms import SMALL, make


@pytest.fixture
def factory():
    return OFENetEncoderFactory(**SMALL)


def test_shapes(factory):
    state, both = factory.create((5,)), factory.create_with_action((5,), 2)
    assert state(torch.randn(4, 5)).shape == (4, 8)
    assert both(torch.randn(4, 5), torch.randn(4, 2)).shape == (4, 8)
    assert compute_output_size([(5,)], state) == 8
    assert compute_output_size([(5,), (2,)], both) == 8


def test_layers_of_its_own_read_the_features_with_relu(factory):
    encoder = factory.create_with_action((5,), 2)
    x, a = torch.randn(4, 5), torch.randn(4, 2)
    (name, weight), (_, bias) = encoder.named_parameters()
    assert name == "_layers.0.weight"
    features = encoder.ofenet(x, a)
    assert torch.allclose(encoder(x, a), (features @ weight.T + bias).relu(), atol=1e-6)


def test_the_ofenet_is_in_nobodys_parameters(factory):
    encoder = factory.create_with_action((5,), 2)
    registered = {id(p) for p in encoder.parameters()} | {id(b) for b in encoder.buffers()}
    assert len(registered) == 2
    assert not registered & {id(p) for p in encoder.ofenet.parameters()}
    assert not any(p.requires_grad for p in encoder.ofenet.parameters())


def test_the_ofenet_stays_in_evaluation_mode(factory):
    encoder = factory.create((5,)).train()
    before = {n: b.clone() for n, b in encoder.ofenet.named_buffers()}
    encoder(torch.randn(16, 5))
    assert all(torch.equal(b, before[n]) for n, b in encoder.ofenet.named_buffers())
    assert encoder(torch.randn(1, 5)).shape == (1, 8)  # a batch of one has no statistics


def test_encoders_begin_equal_and_leave_the_random_state_alone(factory):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    encoder = factory.create((5,))
    drawn_by_layers = encoder._layers[0].weight
    torch.set_rng_state(state)
    plain = torch.nn.Linear(*reversed(drawn_by_layers.shape))
    assert torch.equal(plain.weight, drawn_by_layers)

    both, again = factory.create_with_action((5,), 2), factory.create_with_action((5,), 2)
    x, a = torch.randn(4, 5), torch.randn(4, 2)
    assert torch.equal(both.ofenet(x), encoder.ofenet(x))
    assert torch.equal(both.ofenet(x, a), again.ofenet(x, a))
    assert not torch.equal(both._layers[0].weight, again._layers[0].weight)
    torch.manual_seed(4)
    assert not torch.equal(factory.create((5,)).ofenet(x), encoder.ofenet(x))


def test_gradients_reach_the_action_and_the_layers_but_not_the_ofenet(factory):
    encoder = factory.create_with_action((5,), 2)
    x, a = torch.randn(4, 5), torch.randn(4, 2, requires_grad=True)
    out = encoder(x, a)
    (found,) = torch.autograd.grad(out.sum(), a, retain_graph=True)
    out.sum().backward()
    assert all(p.grad is None for p in encoder.ofenet.parameters())
    assert all(p.grad is not None for p in encoder.parameters())
    eps = 1e-3
    encoder.double()
    for k in range(2):
        step = torch.zeros(4, 2, dtype=torch.float64)
        step[:, k] = eps
        up, down = (encoder(x.double(), a.detach().double() + s) for s in (step, -step))
        slope = (up - down).sum(dim=1) / (2 * eps)
        assert torch.allclose(found[:, k].double(), slope, atol=1e-3)
    assert found.abs().min() > 0


def test_the_actors_gradient_flows_through_psi():
    algo = make("td3_plus_bc")
    share_ofenet(algo)
    impl = algo.impl
    x = torch.randn(6, 5)
    action = impl.policy(x).squashed_mu
    critic = impl.q_function[0]
    (through,) = torch.autograd.grad(critic(x, action).q_value.sum(), action, retain_graph=True)
    head = critic._fc.weight @ (
        critic._encoder._layers[0].weight * (critic._encoder(x, action) > 0).unsqueeze(2)
    )
    # Without ψ's units the action reaches Q by its own columns of z_sa alone.
    direct = head[:, 0, 5 + 6 : 5 + 6 + 2]
    assert through.shape == direct.shape
    assert not torch.allclose(through, direct, atol=1e-6)
    impl.policy.zero_grad()
    (-critic(x, action).q_value.mean()).backward()
    assert all(p.grad is not None and p.grad.any() for p in impl.policy._encoder.parameters())


def test_moving_an_encoder_moves_its_ofenet(factory):
    encoder = factory.create_with_action((5,), 2).double()
    assert encoder.ofenet.dtype == torch.float64
    x, a = torch.randn(4, 5).double(), torch.randn(4, 2).double()
    assert encoder(x, a).dtype == torch.float64


def test_features_in_another_precision_than_the_inputs(factory):
    encoder = factory.create((5,))
    encoder._layers.double()
    assert encoder(torch.randn(4, 5).double()).dtype == torch.float64


def test_a_copy_of_an_encoder_has_an_ofenet_of_its_own_and_a_copy_of_an_algorithm_one(factory):
    encoder = factory.create((5,))
    twin = copy.deepcopy(encoder)
    x = torch.randn(3, 5)
    assert twin.ofenet is not encoder.ofenet
    assert torch.equal(twin(x), encoder(x))
    with torch.no_grad():
        next(encoder.ofenet.parameters()).add_(1.0)
    assert not torch.equal(twin(x), encoder(x))

    algo = make("bc")
    share_ofenet(algo)
    modules = copy.deepcopy(make("td3_plus_bc").impl.modules.q_funcs)
    assert len({id(q._encoder.ofenet) for q in modules}) == 2
    algo = make("td3_plus_bc")
    shared = share_ofenet(algo)
    modules = copy.deepcopy(algo.impl.modules.q_funcs)
    (copied,) = {q._encoder.ofenet for q in modules}
    assert copied is not shared


def test_the_config_round_trips():
    factory = OFENetEncoderFactory(n_layers=3, units=7, hidden_units=[5, 4])
    config = d3rlpy.algos.TD3PlusBCConfig(
        actor_encoder_factory=factory, critic_encoder_factory=OFENetEncoderFactory()
    )
    read = d3rlpy.algos.TD3PlusBCConfig.deserialize(config.serialize())
    assert read == config
    assert read.actor_encoder_factory == factory
    assert OFENetEncoderFactory.get_type() == "ofenet"


@pytest.mark.parametrize(
    ("environment", "sizes"),
    [
        ("Hopper-v5", (6, 40)),
        ("Walker2d", (6, 40)),
        ("Ant-v4", (6, 40)),
        ("HalfCheetah-v5", (8, 30)),
        ("Humanoid-v5", (8, 30)),
    ],
)
def test_the_papers_sizes(environment, sizes):
    factory = OFENetEncoderFactory.for_environment(environment, [32])
    assert (factory.n_layers, factory.units, factory.hidden_units) == (*sizes, [32])


def test_wrong_arguments():
    with pytest.raises(UnknownNameError, match="Hopper"):
        OFENetEncoderFactory.for_environment("Hoper-v5")
    with pytest.raises(InputError, match="hidden_units is empty"):
        OFENetEncoderFactory(hidden_units=[])
    with pytest.raises(InputError, match="hidden_units"):
        OFENetEncoderFactory(hidden_units=[0])
    with pytest.raises(AlgorithmError, match="PixelEncoderFactory"):
        OFENetEncoderFactory().create((3, 8, 8))


def test_readers_are_not_taken_for_d3rlpys_encoders(factory):
    # The sparse engine rebuilds those from their layers, and would lose the features.
    from d3rlpy.models.torch import VectorEncoder, VectorEncoderWithAction

    for encoder in find_readers(make("td3_plus_bc")):
        assert not isinstance(encoder, VectorEncoder | VectorEncoderWithAction)
