"""Every broken dataset loads exactly as it is, or is refused by name and place."""

import contextlib
import itertools
import re
import shutil
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_prune import load_dataset, prune_then_train, score
from offline_prune.data import import_file
from offline_prune.data.made.store import local_path
from offline_prune.errors import OfflinePruneError
from tests.figures import FIGURES
from tests.hardening import broken_datasets as world
from tests.hardening.cases import cases
from tests.hardening.time_limit import within

SECONDS = 20  # a case that hangs ends the run with its traceback
PLACE = re.compile(
    r"episode|step|row|metadata|field|\.hdf5|\.h5|reward|observation|action|terminal|timeout"
    r"|transition|dataset|space"
)
NUMBER = itertools.count()


def load_or_refuse(source):
    """The dataset, or None where it was refused as promised."""
    with within(SECONDS):
        try:
            return load_dataset(source() if callable(source) else source)
        except OfflinePruneError as error:
            message = str(error)
    assert PLACE.search(message), message
    assert len(message) < 2_000
    return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("broken")

    @contextlib.contextmanager
    def new():
        path = base / str(next(NUMBER))
        path.mkdir()
        yield path
        shutil.rmtree(path)

    return new


HDF5 = world.ARRAY_BREAKS | world.FILE_BREAKS | world.METADATA_BREAKS | world.DROP
FLAT = world.ARRAY_BREAKS | world.FILE_BREAKS | world.DROP
#: Loaded, refused: a form of which one is 0 tests nothing.
COUNTS = {}


def count(form, data):
    loaded, refused = COUNTS.get(form, (0, 0))
    COUNTS[form] = (loaded + (data is not None), refused + (data is None))
    FIGURES[f"broken datasets: {'refused' if data is None else 'loaded'}"] += 1


@cases(600)
@given(made=world.broken(HDF5))
def test_minari_hdf5(made, folder):
    with folder() as path:
        try:
            written = world.write_hdf5(made, path / "set")
        except (ValueError, TypeError):
            return  # HDF5 itself cannot hold it
        data = load_or_refuse(written)
        count("hdf5", data)
        if data is not None:
            start = data.metadata.action_start if made.discrete else 0
            world.check_faithful(made, data, known_last=True, start=start)


@cases(200)
@given(made=world.broken(HDF5))
def test_minari_arrow(made, folder):
    with folder() as path:
        try:
            written = world.write_arrow(made, path / "set")
        except (ValueError, TypeError, KeyError, NotImplementedError, world.pa.ArrowException):
            return  # Arrow itself cannot hold it
        data = load_or_refuse(written)
        count("arrow", data)
        if data is not None:
            assert np.isfinite(data.rewards).all()
            assert len(data) == sum(len(e["rewards"]) for e in made.episodes)


@cases(500)
@given(made=world.broken(world.ARRAY_BREAKS))
def test_replay_buffer(made):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            buffer = world.replay_buffer(made)
    except Exception:
        return  # d3rlpy itself does not make it
    data = load_or_refuse(buffer)
    count("buffer", data)
    if data is not None:
        # d3rlpy's episodes know nothing of truncations.
        for episode in made.episodes:
            length = np.size(episode["rewards"])
            episode["terminations"] = np.zeros(length, bool) | (
                np.asarray(episode["terminations"]).reshape(-1)[-1:].any()
                & (np.arange(length) == length - 1)
            )
            episode["truncations"] = np.zeros(length, bool)
        world.check_faithful(made, data, known_last=False, declared=False)


@cases(300)
@given(made=world.broken(FLAT), layout=st.sampled_from(["d4rl", "d3rlpy"]))
def test_imported_files(made, layout, folder):
    with folder() as path:
        try:
            file = world.write_flat(made, path / "file.h5", layout)
        except (ValueError, TypeError, KeyError, IndexError):
            return  # does not even concatenate
        name = f"broken/n{next(NUMBER)}-v0"
        data = load_or_refuse(lambda: import_file(file, name))
        count(layout, data)
        if data is None:
            assert not local_path(name).exists()
        else:
            shutil.rmtree(local_path(name))
            # An episode of nothing may lack its fields too.
            rewards = [
                np.asarray(e["rewards"]).reshape(-1) for e in made.episodes if "rewards" in e
            ]
            rewards = np.concatenate(rewards)
            found = data.rewards
            assert len(found) <= len(rewards)
            with np.errstate(all="ignore"):
                assert np.isin(found, rewards.astype(np.float32)).all()
            assert np.isfinite(data.frames.astype(np.float32)).all()


@cases(150)
@given(made=world.broken(world.ARRAY_BREAKS), float64=st.booleans())
def test_what_loads_is_scored_and_trained(made, float64, folder):
    """Two gradient steps on whatever loads: finite weights, or a named error."""
    with folder() as path:
        try:
            written = world.write_hdf5(made, path / "set")
        except (ValueError, TypeError):
            return
        data = load_or_refuse(written)
    if data is None:
        return
    FIGURES["broken datasets: trained on"] += 1
    options = {
        "n_batches": 1,
        "float64": float64,
        "algo_params": {"hidden_units": [3, 2], "batch_size": 4},
    }
    with within(SECONDS):
        try:
            scored = score(data, "bc", 0.5, **options)
            result = prune_then_train(
                data, "bc", 0.5, n_steps=2, evaluate=0, progress=False, **options
            )
        except OfflinePruneError as error:
            message = str(error)
        else:
            message = None
    if message is not None:
        assert PLACE.search(message) or "loss" in message, message
        return
    assert scored.mask.n_kept == result.mask.n_kept
    for weight in result.algo.impl.modules.get_torch_modules()["imitator"].parameters():
        assert bool(weight.isfinite().all())


def test_every_form_was_both_loaded_and_refused():
    if set(COUNTS) != {"hdf5", "arrow", "buffer", "d4rl", "d3rlpy"}:
        pytest.skip("only some of the tests above ran")
    for form, (loaded, refused) in COUNTS.items():
        assert loaded > 20, (form, loaded, refused)
        assert refused > 20, (form, loaded, refused)
