"""What every algorithm × saliency × engine must keep."""

import dataclasses
import functools
import subprocess
import sys

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer
from d3rlpy.logging import FileAdapterFactory, NoopAdapterFactory

from offline_prune import Agent, load_dataset, prune, prune_then_train
from offline_prune.engines import ENGINES
from offline_prune.errors import AlgorithmError
from offline_prune.masks.allocation import kept_count
from offline_prune.masks.build import mask_from_kept
from offline_prune.methods import METHODS, MODIFIERS
from tests.worlds import (
    CASES,
    FURTHER,
    ROUNDS,
    SEQUENCES,
    actions,
    agent,
    batch,
    dataset,
    in_double_precision,
    params,
    source,
    state,
    take_double_steps,
)

STEPS = 6

# "auto" is one of the others, chosen by tests/engines/test_forms.py; the sparse kernels do
# not take convolutions, nor transformers.
HELD = [
    (kind, algo, engine)
    for kind, algo in (*CASES, *FURTHER, *SEQUENCES)
    for engine in ENGINES
    if engine != "auto"
    and not (engine == "sparse" and (kind.startswith("pixel") or algo == "decision_transformer"))
]
REPLACING = [name for name, made in METHODS.items() if getattr(made, "replaces_agent", False)]
# They follow paths or narrow encoders; a transformer has none to follow.
NOT_FOR_SEQUENCES = ("synflow", "px", "snip_flow", "small_dense")
# Every engine with one method, every method with one engine.
RUNS = [(*case, "snip") for case in HELD] + [
    (*case, "auto", ROUNDS.get(method, method))
    for case in (*CASES, *FURTHER, *SEQUENCES)
    for method in (*METHODS, *MODIFIERS)
    # The others have a contract of their own: tests/methods/test_while_training.py, and
    # the next test of replaced agents.
    if method != "snip"
    and not getattr(METHODS.get(method), "while_training", False)
    and method not in REPLACING
    and not (case in SEQUENCES and method in NOT_FOR_SEQUENCES)
]

# The same for sparsity 0: with nothing to prune no method leaves a trace. Two mean to:
# reinitialised draws new weights, small_dense builds an agent of its own, whose first
# mini-batch is one that d3rlpy drew before.
NOT_STOCK = ("reinitialised", "small_dense", *REPLACING)
STOCK = [(*case, "snip") for case in HELD] + [
    ("vector-continuous", "iql", "auto", ROUNDS.get(method, method))
    for method in (*METHODS, *MODIFIERS)
    if method not in ("snip", *NOT_STOCK)
]

# Magnitude at initialisation, a transformer's untrained attention and extreme sparsities empty
# whole layers; the zeros must hold all the same.
may_collapse = pytest.mark.filterwarnings(
    "ignore::offline_prune.masks.collapse.LayerCollapseWarning"
)


def held(kind, algo, engine):
    """An agent at 80 % and its mask."""
    return prune(
        dataset(kind),
        algo,
        0.8,
        method="snip",
        n_batches=1,
        engine=engine,
        algo_params=params(kind, algo),
    )


def numbered(kind, algo):
    """(optimizer, number of a parameter in its state dict) → weight name."""
    fresh = agent(kind, algo)
    names = {id(weight): name for name, weight in fresh.weights.items()}
    found = {}
    for field, value in vars(fresh.algo.impl.modules).items():
        if hasattr(value, "optim"):
            stepped = [p for group in value.optim.param_groups for p in group["params"]]
            found |= {(field, i): names.get(id(p)) for i, p in enumerate(stepped)}
    return found


def weights(subject):
    """Every parameter that is trained, biases included."""
    modules = subject.algo.impl.modules.get_torch_modules().values()
    return [parameter for module in modules for parameter in module.parameters()]


def assert_identical(a, b):
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert not different


def assert_zeros_hold(subject, mask, weights, targets, numbers):
    for name, weight in weights.items():
        assert not weight[~mask.connected[name]].any(), name
    for name, weight in targets.items():
        assert not weight[~mask.connected[name]].any(), f"target of {name}"
    for field, value in vars(subject.algo.impl.modules).items():
        if hasattr(value, "optim"):
            for i, moments in value.optim.state_dict()["state"].items():
                if name := numbers[field, i]:
                    for moment in moments.values():
                        if moment.shape == weights[name].shape:
                            pruned = ~mask.connected[name]
                            assert not moment[pruned].any(), f"moment of {name}"


@may_collapse
@pytest.mark.parametrize(("kind", "algo", "engine", "method"), RUNS)
def test_zeros_hold_after_every_step_and_counts_are_exact(kind, algo, method, engine):
    data = dataset(kind)
    subject, mask = prune(
        data, algo, 0.8, method=method, n_batches=1, engine=engine, algo_params=params(kind, algo)
    )
    for network in subject.networks:
        dense = method == "small_dense"
        kept = network.n_weights if dense else kept_count(network.n_weights, 0.8)
        assert mask[network.role].n_kept == kept
    seen, before = [], {n: t.clone() for n, t in state(subject.algo).items()}
    numbers = numbered(kind, algo)

    def check(algo, epoch, step):
        current = subject.engine.weights(), subject.engine.targets()
        assert_zeros_hold(subject, mask, *current, numbers)
        seen.append(step)

    subject.algo.fit(
        data.buffer,
        n_steps=STEPS,
        n_steps_per_epoch=STEPS,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
        callback=check,
    )
    assert len(seen) == STEPS
    subject.engine.verify()
    after = state(subject.algo)
    moved = any(not torch.equal(before[name], after[name]) for name in before)
    # GraSP can saturate a squashed policy: its gradient is then exactly zero.
    saturated = all(weight.grad is None or not weight.grad.any() for weight in weights(subject))
    assert moved or saturated


@pytest.mark.parametrize("method", REPLACING)
@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_an_agent_that_takes_the_trained_ones_place_is_dense_and_stock(
    kind, algo, method, tmp_path
):
    budget = "steps=4, distil_steps=4, gate_interval=2, max_iterations=1"

    def run():
        return prune_then_train(
            dataset(kind),
            algo,
            0.8,
            method=f"{method}({budget}, gate=agreement, objective=0, lower_bound=0)",
            n_steps=STEPS,
            evaluate=0,
            algo_params=params(kind, algo),
            progress=False,
        )

    if (kind, algo) in (("vector-continuous", "bcq"), ("pixel-continuous", "bcq")):
        with pytest.raises(AlgorithmError, match="samples its actions"):
            run()
        return
    result = run()
    acting = agent(kind, algo).networks[0]
    assert result.mask.sparsity == 0.0
    assert result.mask.n_weights < acting.n_weights
    for name, weight in Agent.of(result.algo).weights.items():
        assert weight.shape == result.mask.nominal[name].shape
        assert weight.count_nonzero() == weight.numel()
    assert_identical(state(run().algo), state(result.algo))
    result.algo.save(str(tmp_path / "agent.d3"))
    loaded = d3rlpy.load_learnable(str(tmp_path / "agent.d3"))
    assert_identical(state(loaded), state(result.algo))


@pytest.mark.parametrize(("kind", "algo", "engine", "method"), STOCK)
def test_sparsity_zero_is_stock_d3rlpy_bit_for_bit(kind, algo, engine, method):
    ours = prune_then_train(
        dataset(kind),
        algo,
        0.0,
        method=method,
        n_steps=2 * STEPS,
        n_batches=1,
        seed=7,
        engine=engine,
        evaluate=0,
        algo_params=params(kind, algo),
        progress=False,
    )
    d3rlpy.seed(7)
    stock = ours.algo.config.create(device="cpu:0")
    stock.fit(
        source(kind),  # d3rlpy's own buffer, not ours
        n_steps=2 * STEPS,
        n_steps_per_epoch=2 * STEPS,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
    )
    assert_identical(state(ours.algo), state(stock))


@pytest.mark.slow
def test_sparsity_zero_is_stock_on_truncated_episodes_with_scalers_that_d3rlpy_fits():
    rng = np.random.default_rng(0)
    episodes = [
        Episode(
            rng.normal(size=(n, 3)).astype(np.float32),
            rng.uniform(-1, 1, (n, 2)).astype(np.float32),
            rng.normal(size=(n, 1)).astype(np.float32),
            terminated,
        )
        for n, terminated in ((12, False), (9, True), (15, False))
    ]

    def config():
        return d3rlpy.algos.IQLConfig(
            batch_size=16,
            observation_scaler=d3rlpy.preprocessing.StandardObservationScaler(),
            reward_scaler=d3rlpy.preprocessing.ReturnBasedRewardScaler(),
        )

    stock_buffer = ReplayBuffer(InfiniteBuffer(), episodes=episodes)
    # From d3rlpy's episodes the last step of a truncated one is gone already; its rewards
    # would count for the scaler, so both sides fit on what d3rlpy sees.
    data = load_dataset(stock_buffer)
    ours = prune_then_train(data, config(), 0.0, n_steps=STEPS, evaluate=0, progress=False)
    d3rlpy.seed(0)
    stock = dataclasses.replace(
        config(),
        observation_scaler=ours.algo.config.observation_scaler,
        reward_scaler=ours.algo.config.reward_scaler,
    ).create(device="cpu:0")
    stock.fit(
        stock_buffer,
        n_steps=STEPS,
        n_steps_per_epoch=STEPS,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
    )
    assert_identical(state(ours.algo), state(stock))


@may_collapse
@pytest.mark.parametrize(("kind", "algo", "engine"), HELD)
def test_the_same_seed_gives_the_same_run(kind, algo, engine):
    def run(seed):
        return prune_then_train(
            dataset(kind),
            algo,
            0.8,
            method=ROUNDS["iterative_snip" if (kind, algo) in SEQUENCES else "snip_flow"],
            n_steps=STEPS,
            n_batches=1,
            seed=seed,
            engine=engine,
            evaluate=0,
            algo_params=params(kind, algo),
            progress=False,
        )

    first = run(1)
    np.random.seed(99)  # whatever the random state was before
    torch.manual_seed(99)
    again = run(1)
    assert first.mask == again.mask
    assert_identical(state(first.algo), state(again.algo))
    assert first.mask != run(2).mask


@may_collapse
@pytest.mark.parametrize(
    ("kind", "algo", "engine"), [case for case in HELD if case[:2] not in SEQUENCES]
)
def test_holding_the_connected_part_keeps_the_nominal_function(kind, algo, engine):
    """Neither folding nor compaction changes a prediction, in the targets neither."""
    data = dataset(kind)
    nominal = agent(kind, algo)
    held, mask = prune(
        data,
        algo,
        0.97,
        method="random",
        parameterization="standard",
        engine=engine,
        algo_params=params(kind, algo),
    )
    assert mask.n_connected < mask.n_kept
    with torch.no_grad():
        for name, weight in nominal.weights.items():
            weight[~mask.nominal[name]] = 0.0
            if name in nominal.targets:
                nominal.targets[name][~mask.nominal[name]] = 0.0
    batch = data.buffer.batch_at(np.arange(16))
    x = torch.tensor(batch.observations)
    if kind.startswith("pixel"):
        x = x / 255.0
    a = torch.tensor(batch.actions)
    fields = nominal.algo.impl.modules.get_torch_modules()
    for field, module in fields.items():
        other = getattr(held.algo.impl.modules, field)
        modules = module if isinstance(module, torch.nn.ModuleList) else [module]
        others = other if isinstance(module, torch.nn.ModuleList) else [other]
        for m, o in zip(modules, others, strict=True):
            if not hasattr(m, "_encoder"):
                continue  # a dual variable
            with_action = type(m._encoder).__name__.endswith("WithAction")
            found = [outputs(each, x, a, with_action) for each in (m, o)]
            for p, q in zip(*found, strict=True):
                torch.testing.assert_close(p, q, atol=1e-6, rtol=1e-5)


def outputs(module, x, a, with_action):
    if type(module).__name__ == "VAEDecoder":
        a = torch.cat([a, a], dim=1)
    found = module(x, a) if with_action else module(x)
    if isinstance(found, torch.distributions.Distribution):
        found = [getattr(found, n) for n in ("logits", "loc", "scale") if hasattr(found, n)]
    if isinstance(found, torch.Tensor):
        found = [found]
    return [t for t in found if t is not None]


@functools.cache
def two_hundred_steps(kind, algo, engine, parameterization):
    """The mask and every tensor of a run."""
    result = prune_then_train(
        dataset(kind),
        algo,
        0.8,
        n_steps=200,
        method="snip",
        n_batches=1,
        engine=engine,
        parameterization=parameterization,
        averaging="none",
        evaluate=0,
        algo_params=params(kind, algo),
        progress=False,
    )
    return result.mask, state(result.algo)


@may_collapse
@pytest.mark.slow
@pytest.mark.parametrize("engine", ["compact", "sparse"])
@pytest.mark.parametrize("parameterization", ["standard", "sparse(critic_exponent=0.5)"])
@pytest.mark.parametrize(
    ("kind", "algo"),
    [
        case
        for case in (*CASES, *FURTHER, *SEQUENCES)
        if "vector" in case[0] and "decision" not in case[1]
    ],
)
def test_every_engine_follows_the_same_trajectory(kind, algo, engine, parameterization):
    mask, expected = two_hundred_steps(kind, algo, "masked", parameterization)
    same_mask, found = two_hundred_steps(kind, algo, engine, parameterization)
    assert mask == same_mask
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-4, rtol=1e-4, msg=name)


@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_the_compact_trajectory_is_exact_in_double_precision(kind, algo, double_precision):
    """In single precision a ReLU at the edge of zero soon tells pixel agents apart."""

    def run(engine):
        subject = in_double_precision(agent(kind, algo))
        kept = {n: torch.rand(w.shape) < 0.2 for n, w in subject.weights.items()}
        holding = ENGINES[engine](subject)
        holding.attach(mask_from_kept(subject, kept))
        take_double_steps(subject.algo, kind)
        holding.detach()
        return state(subject.algo)

    d3rlpy.seed(0)
    expected = run("masked")
    d3rlpy.seed(0)
    found = run("compact")
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-10, rtol=1e-8, check_dtype=False)


@may_collapse
@pytest.mark.parametrize(("kind", "algo", "engine"), HELD)
def test_files_saved_while_training_open_in_stock_d3rlpy(kind, algo, engine, tmp_path):
    data = dataset(kind)
    subject, mask = held(kind, algo, engine)
    subject.algo.fit(
        data.buffer,
        n_steps=STEPS,
        n_steps_per_epoch=STEPS,
        logger_adapter=FileAdapterFactory(root_dir=str(tmp_path)),
        experiment_name="run",
        with_timestamp=False,
        show_progress=False,
    )
    loaded = d3rlpy.load_learnable(str(tmp_path / "run" / f"model_{STEPS}.d3"))
    zeros = Agent.of(loaded)
    assert_zeros_hold(zeros, mask, zeros.weights, zeros.targets, numbered(kind, algo))
    trained = state(subject.algo)
    assert_identical(state(loaded), trained)
    subject.engine.detach()
    assert_identical(state(subject.algo), trained)
    np.testing.assert_array_equal(actions(loaded, kind), actions(subject.algo, kind))


@may_collapse
@pytest.mark.parametrize(("kind", "algo", "engine"), HELD)
def test_a_file_loads_into_a_held_agent(kind, algo, engine, tmp_path):
    """Weights, targets and moments, whatever form they are trained in."""
    (trained, _), (again, _) = held(kind, algo, engine), held(kind, algo, engine)
    drawn = batch(kind, algo)
    trained.algo.update(drawn)
    trained.algo.save_model(str(tmp_path / "model.pt"))
    again.algo.update(drawn)  # d3rlpy's files do not hold the number of steps taken
    again.algo.load_model(str(tmp_path / "model.pt"))
    again.engine.verify()
    for subject in (trained, again):
        torch.manual_seed(0)
        subject.algo.update(drawn)
    assert_identical(state(again.algo), state(trained.algo))


@pytest.mark.parametrize(("kind", "algo"), [*CASES, *SEQUENCES])
def test_d3_files_keep_the_zeros(kind, algo, tmp_path):
    result = prune_then_train(
        dataset(kind),
        algo,
        0.9,
        n_steps=STEPS,
        evaluate=0,
        algo_params=params(kind, algo),
        progress=False,
    )
    path = tmp_path / "agent.d3"
    result.algo.save(str(path))
    loaded = d3rlpy.load_learnable(str(path))
    subject = Agent.of(loaded)
    zeros = subject.weights, subject.targets, numbered(kind, algo)
    assert_zeros_hold(subject, result.mask, *zeros)
    np.testing.assert_array_equal(actions(loaded, kind), actions(result.algo, kind))


@pytest.mark.slow
def test_d3_files_open_without_this_package(tmp_path):
    result = prune_then_train(
        dataset("vector-continuous"),
        "iql",
        0.9,
        n_steps=STEPS,
        evaluate=0,
        progress=False,
    )
    result.algo.save(str(tmp_path / "agent.d3"))
    script = (
        "import sys, d3rlpy, numpy as np\n"
        "algo = d3rlpy.load_learnable(sys.argv[1])\n"
        "assert not [m for m in sys.modules if m.startswith('offline_prune')]\n"
        "print(algo.predict(np.zeros((1, 5), np.float32)).shape)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "agent.d3")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stdout.strip() == "(1, 2)", done.stderr
