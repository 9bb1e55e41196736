"""Teachers and their students, of every algorithm and kind of data."""

import d3rlpy
import numpy as np
import pytest
import torch

from offline_prune.encoders import ImpalaEncoderFactory
from offline_prune.errors import AlgorithmError, NonFiniteError
from offline_prune.pops.student import _check_finite, distilled, weights_of, widths
from offline_prune.pops.teacher import Teacher
from tests.pops.worlds import trained, workshop
from tests.worlds import CASES, dataset

TEACHERS = [case for case in CASES if not (case[0].endswith("continuous") and case[1] == "bcq")]


def states(kind, algo="bc"):
    """Raw observations and what the networks read."""
    x = dataset(kind).observations[:20]
    scaler = trained(kind, algo).observation_scaler
    scaled = torch.tensor(x, dtype=torch.float32)
    return x, scaled if scaler is None else scaler.transform(scaled)


@pytest.mark.parametrize(("kind", "algo"), TEACHERS)
def test_the_teacher_prefers_what_its_algorithm_does(kind, algo):
    teacher = Teacher.of(trained(kind, algo), dataset(kind))
    raw, scaled = states(kind, algo)
    found = teacher.preferences(scaled)
    if kind.endswith("discrete"):
        assert found.shape == (20, 3)
        np.testing.assert_array_equal(found.argmax(1), teacher.algo.predict(raw))
    else:
        np.testing.assert_allclose(found, teacher.algo.predict(raw), atol=1e-5)


@pytest.mark.parametrize(("kind", "algo"), TEACHERS)
def test_the_first_student_is_a_copy_of_the_first_acting_network(kind, algo):
    shop = workshop(kind, algo)
    student, teacher = shop.copy_of_teacher(), shop.teacher
    assert type(student) is (
        d3rlpy.algos.DiscreteBC if kind.endswith("discrete") else d3rlpy.algos.BC
    )
    assert widths(student) == teacher.hidden_units
    _, scaled = states(kind, algo)
    first = teacher.networks[0]
    with torch.no_grad():
        hidden = first._encoder(scaled)
        expected = (first._mu if hasattr(first, "_mu") else first._fc)(hidden)
        imitator = student.impl.modules.imitator
        torch.testing.assert_close(imitator._fc(imitator._encoder(scaled)), expected)


def test_sizes_count_every_acting_network_once():
    cql = Teacher.of(trained("vector-discrete", "cql"), dataset("vector-discrete"))
    one = 5 * 24 + 24 * 24 + 24 * 3
    critics = len(cql.networks)
    assert (cql.n_weights, cql.n_parameters) == (critics * one, critics * (one + 24 + 24 + 3))
    iql = Teacher.of(trained("vector-continuous", "iql"), dataset("vector-continuous"))
    actor = 5 * 24 + 24 * 24 + 24 * 2
    assert (iql.n_weights, iql.n_parameters) == (actor, actor + 24 + 24 + 2)


@pytest.mark.parametrize(("kind", "algo"), [("vector-discrete", "cql"), ("pixel-continuous", "bc")])
def test_a_small_student_learns_the_teachers_preferences(kind, algo):
    shop = workshop(kind, algo, temperature=0.1)
    d3rlpy.seed(0)
    small = shop.build((6,) * len(shop.teacher.hidden_units))
    losses = [loss for _, loss in shop.train(small, 150, 50)]
    assert losses[-1] < 0.8 * losses[0]


def test_only_the_teacher_decides_what_is_learned():
    """The logged actions are not looked at, the teacher and the temperature are."""
    shop, other = workshop(), workshop(temperature=0.2)
    _, scaled = states("vector-discrete")
    losses = []
    for made in (shop, other):
        student = made.copy_of_teacher()
        with distilled(student, made.teacher, made.temperature):
            found = [student.impl.compute_loss(scaled, torch.full((20, 1), a)) for a in (0.0, 2.0)]
        assert found[0].loss.item() == found[1].loss.item()
        losses.append(found[0].loss.item())
    assert abs(losses[0]) < 1e-6  # a copy of the very logits, at temperature 1
    assert losses[1] > 1e-3


def test_the_students_own_loss_is_back_after_training():
    shop = workshop()
    student = shop.copy_of_teacher()
    for _ in shop.train(student, 100, 10):
        assert "compute_loss" in vars(student.impl)
        break
    assert "compute_loss" not in vars(student.impl)
    assert student.grad_step == 10


def test_a_copy_shares_no_tensor():
    shop = workshop()
    student = shop.copy_of_teacher()
    copy, before = shop.copy_of(student), weights_of(student)
    for _ in shop.train(copy, 10, 10):
        pass
    after = weights_of(student)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not torch.equal(weights_of(copy)["_fc.weight"], before["_fc.weight"])


def test_training_that_diverges_is_named():
    shop = workshop()
    student = shop.copy_of_teacher()
    with torch.no_grad():
        student.impl.modules.imitator._fc.weight[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match="gradient step 5"):
        list(shop.train(student, 10, 5))


def test_actions_beyond_all_numbers_are_named():
    shop = workshop("vector-discrete")
    student = shop.copy_of_teacher()
    with torch.no_grad():
        for weight in student.impl.modules.imitator.parameters():
            weight.fill_(1e30)
    with pytest.raises(NonFiniteError, match="actions are no longer finite at gradient step 7"):
        _check_finite(student, dataset("vector-discrete").observations[:8], 0.5, 7)


def test_teachers_that_are_refused():
    data = dataset("vector-continuous")
    with pytest.raises(AlgorithmError, match="DeterministicResidualPolicy"):
        Teacher.of(trained("vector-continuous", "bcq"), data)
    with pytest.raises(AlgorithmError, match="not dict"):
        Teacher.of({}, data)
    with pytest.raises(AlgorithmError, match="discrete actions"):
        Teacher.of(trained("vector-discrete", "bc"), data)
    with pytest.raises(AlgorithmError):
        Teacher.of(d3rlpy.algos.BCConfig().create(), data)
    pixel = dataset("pixel-discrete")
    impala = d3rlpy.algos.DiscreteBCConfig(encoder_factory=ImpalaEncoderFactory()).create()
    impala.build_with_dataset(pixel.buffer)
    with pytest.raises(AlgorithmError, match="ImpalaEncoder"):
        Teacher.of(impala, pixel)
    quantiles = d3rlpy.algos.DQNConfig(
        q_func_factory=d3rlpy.models.QRQFunctionFactory(n_quantiles=4)
    ).create()
    quantiles.build_with_dataset(dataset("vector-discrete").buffer)
    with pytest.raises(AlgorithmError, match="DiscreteQRQFunction"):
        Teacher.of(quantiles, dataset("vector-discrete"))


@pytest.mark.parametrize(
    "options",
    [
        {"use_batch_norm": True},
        {"use_layer_norm": True},
        {"dropout_rate": 0.2},
        {"activation": "tanh"},
    ],
)
def test_students_have_the_teachers_kind_of_layers(options):
    data = dataset("vector-discrete")
    encoder = d3rlpy.models.VectorEncoderFactory(hidden_units=[12, 10], **options)
    algo = d3rlpy.algos.DoubleDQNConfig(encoder_factory=encoder, batch_size=8).create()
    algo.build_with_dataset(data.buffer)
    algo.update(data.buffer.sample_transition_batch(8))
    shop = workshop()
    shop = type(shop)(Teacher.of(algo, data), data, 8, 1e-3, 1.0)
    student, small = shop.copy_of_teacher(), shop.build((5, 4))
    np.testing.assert_array_equal(
        student.predict(data.observations), algo.predict(data.observations)
    )
    assert small.config.encoder_factory.serialize() != encoder.serialize()
    assert {**vars(small.config.encoder_factory), "hidden_units": [12, 10]} == vars(encoder)
    list(shop.train(small, 4, 2))
