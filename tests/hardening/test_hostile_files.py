"""Files that try to run code or to reach beyond their folder: refused, and nothing runs."""

import json
import os
import pickle
import sys
from pathlib import Path

import gymnasium
import h5py
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec, WrapperSpec
from safetensors.torch import save_file

from offline_prune import Mask, PruneResult, evaluate, load_dataset, prune_then_train, score
from offline_prune.data import import_file
from offline_prune.errors import (
    DatasetError,
    EnvironmentUnavailableError,
    InputError,
    MaskError,
    OutputDirectoryError,
)
from offline_prune.evaluation.rollouts import make_environment
from offline_prune.study.records import read_records
from offline_prune.study.table import read_table
from tests.hardening import broken_datasets as world
from tests.worlds import dataset, params

KIND = "vector-continuous"


class Payload:
    """A pickle of this writes a file when it is opened."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (Path.write_text, (self.target, "code ran"))


@pytest.fixture
def target(tmp_path):
    """Where code of a file would write; must not exist afterwards."""
    path = tmp_path / "code_ran"
    yield path
    assert not path.exists()


@pytest.fixture(scope="module")
def result():
    return prune_then_train(
        dataset(KIND), "bc", 0.5, n_steps=2, evaluate=0, progress=False,
        algo_params=params(KIND, "bc"),
    )  # fmt: skip


@pytest.fixture
def saved(result, tmp_path):
    return result.save(tmp_path / "run")


@pytest.fixture
def folder(tmp_path):
    made = world.make(KIND, np.random.default_rng(0))
    return world.write_hdf5(made, tmp_path / "set")


def test_the_payload_would_run(tmp_path):
    path = tmp_path / "code"
    pickle.loads(pickle.dumps(Payload(path)))
    assert path.exists()


# --- Results, masks, tables ---------------------------------------------------------------


@pytest.mark.parametrize("way", ["torch", "pickle", "legacy"])
@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.filterwarnings("ignore:Environment variable TORCH_FORCE")
def test_models(way, forced, saved, target, monkeypatch):
    if forced:  # an environment that turns torch's default off
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    if way == "pickle":
        (saved / "model.pt").write_bytes(pickle.dumps({"imitator": Payload(target)}))
    else:
        torch.save(
            {"imitator": Payload(target)},
            saved / "model.pt",
            _use_new_zipfile_serialization=way == "torch",
        )
    with pytest.raises(OutputDirectoryError, match="damaged or not a result"):
        PruneResult.load(saved)


@pytest.mark.parametrize("name", ["mask.safetensors", "params.json", "result.json", "history.csv"])
def test_pickles_in_place_of_other_files_of_a_result(name, saved, target):
    (saved / name).write_bytes(pickle.dumps(Payload(target)))
    with pytest.raises((OutputDirectoryError, MaskError)):
        PruneResult.load(saved)


def test_d3_files_are_not_opened(result, tmp_path, target):
    """They are pickles by d3rlpy's design."""
    good, hostile = tmp_path / "agent.d3", tmp_path / "hostile.d3"
    result.algo.save(str(good))
    hostile.write_bytes(pickle.dumps(Payload(target)))
    for path in (good, hostile):
        for load in (PruneResult.load, load_dataset, Mask.load):
            with pytest.raises(InputError):
                load(path)
        with pytest.raises(InputError):
            load_dataset(str(path))


NESTED = "[" * 200_000 + "]" * 200_000
JSONS = {
    "nested": NESTED,
    "huge integer": '{"format": ' + "9" * 5_000 + "}",
    "infinite": '{"format": 1e999}',
    "a list": "[1, 2]",
    "a number": "5",
    "empty": "",
    "null": "null",
    "binary": "\x00\x01",
}


@pytest.mark.parametrize("text", JSONS.values(), ids=JSONS)
@pytest.mark.parametrize("name", ["result.json", "params.json"])
def test_odd_json_of_a_result(name, text, saved):
    (saved / name).write_text(text)
    with pytest.raises(OutputDirectoryError):
        PruneResult.load(saved)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("settings", "n_steps"), "5"),
        (("settings", "n_steps"), None),
        (("settings", "surprise"), 1),
        (("settings",), []),
        (("evaluation",), None),
        (("evaluation", "seeds"), 5),
        (("scoring_seconds",), "soon"),
        (("format",), 2),
    ],
)
def test_odd_values_of_a_result(path, value, saved):
    content = json.loads((saved / "result.json").read_text())
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    (saved / "result.json").write_text(json.dumps(content))
    with pytest.raises(OutputDirectoryError):
        PruneResult.load(saved)


def test_a_config_names_only_what_d3rlpy_has_registered(saved, target):
    config = json.loads((saved / "params.json").read_text())
    config["config"] = {"type": "os:system", "params": {"command": f"touch {target}"}}
    (saved / "params.json").write_text(json.dumps(config))
    with pytest.raises(OutputDirectoryError, match="damaged"):
        PruneResult.load(saved)


def test_a_mask_of_another_run(saved, tmp_path):
    other = score(dataset(KIND), "bc", 0.5, seed=3, algo_params=params(KIND, "bc"))
    other.mask.save(saved / "mask.safetensors")
    with pytest.raises(OutputDirectoryError, match="different runs"):
        PruneResult.load(saved)
    wider = score(dataset(KIND), "bc", 0.5, algo_params={"hidden_units": [9, 9]})
    wider.mask.save(saved / "mask.safetensors")
    with pytest.raises(OutputDirectoryError, match="different runs"):
        PruneResult.load(saved)


ON, OFF = torch.ones(2, 3, dtype=torch.bool), torch.zeros(2, 3, dtype=torch.bool)
ROLES = {"roles": json.dumps({"actor": ["w"]})}
MASKS = {
    "nothing": ({}, {}),
    "no roles": ({"nominal/w": ON, "connected/w": ON}, {}),
    "roles nested": ({"nominal/w": ON, "connected/w": ON}, {"roles": NESTED}),
    "roles a list": ({"nominal/w": ON, "connected/w": ON}, {"roles": "[]"}),
    "members a word": ({"nominal/w": ON, "connected/w": ON}, {"roles": '{"actor": "w"}'}),
    "members numbers": ({"nominal/w": ON, "connected/w": ON}, {"roles": '{"actor": [1]}'}),
    "member twice": ({"nominal/w": ON, "connected/w": ON}, {"roles": '{"a": ["w"], "b": ["w"]}'}),
    "numbers": ({"nominal/w": ON.float(), "connected/w": ON}, ROLES),
    "shapes": ({"nominal/w": ON, "connected/w": ON[:, :2]}, ROLES),
    "shape that spreads": ({"nominal/w": ON, "connected/w": ON[:1]}, ROLES),
    "connected beyond": ({"nominal/w": OFF, "connected/w": ON}, ROLES),
    "other names": ({"nominal/w": ON, "connected/v": ON}, ROLES),
    "odd names": ({"nominal/../../w": ON, "connected/w": ON}, ROLES),
    "third kind": ({"nominal/w": ON, "connected/w": ON, "x": ON}, ROLES),
}


@pytest.mark.parametrize("case", MASKS)
def test_odd_masks(case, tmp_path):
    tensors, metadata = MASKS[case]
    tensors = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
    save_file(tensors, tmp_path / "mask.safetensors", metadata)
    with pytest.raises(MaskError):
        Mask.load(tmp_path / "mask.safetensors")


@pytest.mark.parametrize("share", np.linspace(0, 0.99, 12).tolist())
def test_cut_masks(share, result, tmp_path):
    path = tmp_path / "mask.safetensors"
    result.mask.save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(MaskError, match="not a mask"):
        Mask.load(path)


def test_odd_paths_of_masks(tmp_path, target):
    hostile = tmp_path / "mask.safetensors"
    hostile.write_bytes(pickle.dumps(Payload(target)))
    for path in (hostile, tmp_path, tmp_path / "none", None, 5, "a\x00b", "x" * 5_000):
        with pytest.raises(MaskError):
            Mask.load(path)


def test_tables_of_a_study(tmp_path, target):
    cells = tmp_path / "study" / "cells"
    cells.mkdir(parents=True)
    (cells / "a.json").write_bytes(pickle.dumps(Payload(target)))
    (cells / "b.json").write_text(NESTED[:100])
    (cells / "c.json").write_text("[]")
    for load in (read_records, read_table):
        assert load(tmp_path / "study") == []


# --- Datasets -----------------------------------------------------------------------------


def change(folder, **entries):
    path = folder / "data" / "metadata.json"
    content = json.loads(path.read_text()) | entries
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def spec(target, **changes):
    made = {
        "id": "Hostile-v0",
        "entry_point": "subprocess:check_call",
        "kwargs": {"args": ["touch", str(target)]},
        **changes,
    }
    return EnvSpec(**made).to_json()


def test_an_environment_of_a_file_is_not_called_to_learn_its_spaces(folder, target):
    change(folder, observation_space=None, env_spec=spec(target))
    with pytest.raises(DatasetError, match="does not know the environment Hostile-v0"):
        load_dataset(folder)


def test_the_spaces_of_a_registered_environment(tmp_path):
    made = world.make("vector-discrete", np.random.default_rng(0))
    for episode in made.episodes:
        episode["observations"] = np.ones((len(episode["rewards"]) + 1, 4), np.float32)
        episode["actions"] = np.ones_like(episode["actions"])
    made.metadata = {"observation_space": None, "action_space": None}
    made.metadata["env_spec"] = gymnasium.spec("CartPole-v1").to_json()
    folder = world.write_hdf5(made, tmp_path / "set")
    found = load_dataset(folder).metadata
    environment = gymnasium.make("CartPole-v1")
    assert found.observation_space == environment.observation_space
    assert found.action_space == environment.action_space


@pytest.mark.parametrize("name", ["Hostile-v0", "CartPole-v1"])
def test_an_environment_of_a_file_is_not_called_to_evaluate(name, folder, target, result):
    change(folder, env_spec=spec(target, id=name))
    metadata = load_dataset(folder).metadata
    found = evaluate(result.algo, metadata, 1)
    assert found.mean_return is None
    assert name in found.reason


def test_a_registered_name_gets_the_registered_code(folder, target):
    change(folder, env_spec=spec(target, id="CartPole-v1", kwargs={}, max_episode_steps=None))
    environment = make_environment(load_dataset(folder).metadata)
    assert environment.unwrapped.__class__.__name__ == "CartPoleEnv"
    assert environment.spec.max_episode_steps == 500  # else a good policy never ends
    environment.close()


def test_wrappers_of_a_file_are_imported_wrappers_or_refused(folder, target):
    sys.modules.pop("antigravity", None)
    for entry_point in ("subprocess:Popen", "antigravity:fly", "no colon", ""):
        wrapper = WrapperSpec("W", entry_point, {"args": ["touch", str(target)]})
        change(folder, env_spec=spec(target, id="CartPole-v1", additional_wrappers=(wrapper,)))
        with pytest.raises(EnvironmentUnavailableError, match="wrapped by"):
            make_environment(load_dataset(folder).metadata)
    assert "antigravity" not in sys.modules
    flat = WrapperSpec("F", "gymnasium.wrappers:FlattenObservation", {})
    change(
        folder,
        env_spec=spec(target, id="CartPole-v1", kwargs={}, additional_wrappers=(flat,)),
    )
    make_environment(load_dataset(folder).metadata).close()


@pytest.mark.parametrize(
    "name", ["../../x-v0", "/etc/x-v0", "a/../b-v0", "x", "", 5, None, "a\x00-v0", "..", []]
)
def test_ids_that_could_leave_the_root(name, folder):
    change(folder, dataset_id=name)
    with pytest.raises(DatasetError):
        load_dataset(folder)


@pytest.mark.parametrize("name", ["../../x-v0", "/tmp/x-v0", "a/../b-v0", "x", "a b-v0"])
def test_imports_cannot_leave_the_root(name, folder, minari_root):
    made = world.make(KIND, np.random.default_rng(0))
    file = world.write_flat(made, folder / "file.h5", "d4rl")
    before = sorted(minari_root.rglob("*"))
    with pytest.raises(DatasetError, match="not a dataset id"):
        import_file(file, name)
    assert sorted(minari_root.rglob("*")) == before


def secret(tmp_path):
    path = tmp_path / "secret.hdf5"
    with h5py.File(path, "w") as file:
        file["rewards"] = np.ones(1_000)
    return path


def replace(folder, make):
    """Put something in place of the first episode's rewards; ``make`` gets the group."""
    with h5py.File(folder / "data" / "main_data.hdf5", "r+") as file:
        group = file["episode_0"]
        n = len(group["rewards"])
        del group["rewards"]
        make(group, n)


def external_link(group, n, path):
    group["rewards"] = h5py.ExternalLink(str(path), "/rewards")


def external_storage(group, n, path):
    group.create_dataset("rewards", (n,), "f8", external=[(str(path), 0, 8 * n)])


def virtual(group, n, path):
    layout = h5py.VirtualLayout((n,), "f8")
    layout[:] = h5py.VirtualSource(str(path), "rewards", (1_000,))[:n]
    group.create_virtual_dataset("rewards", layout)


def soft_link(group, n, path):
    group["rewards"] = h5py.SoftLink("/episode_0/terminations")


def dangling(group, n, path):
    group["rewards"] = h5py.SoftLink("/nowhere")


def cycle(group, n, path):
    group["rewards"] = np.ones(n)
    group.create_group("infos")["again"] = group


def group_in_place(group, n, path):
    group.create_group("rewards")


def strings(group, n, path):
    group["rewards"] = np.array([pickle.dumps(Payload(path)).hex()] * n, dtype=object)


def references(group, n, path):
    group.create_dataset("rewards", (n,), h5py.ref_dtype)


def compound(group, n, path):
    group["rewards"] = np.zeros(n, [("a", "f8"), ("b", "i4")])


def enormous(group, n, path):
    group.create_dataset("rewards", (2**40,), "f8", chunks=(2**16,))


@pytest.mark.parametrize(
    "make",
    [
        external_link, external_storage, virtual, soft_link, dangling, cycle, group_in_place,
        strings, references, compound, enormous,
    ],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_hdf5_that_is_more_than_its_own_numbers(make, folder, tmp_path, target):
    outside = target if make is strings else secret(tmp_path)
    replace(folder, lambda group, n: make(group, n, outside))
    with pytest.raises(DatasetError, match=r"hdf5|episode 0"):
        load_dataset(folder)


@pytest.mark.parametrize(
    "make", [external_link, external_storage, virtual, soft_link, group_in_place, references],
    ids=lambda f: f.__name__,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::offline_prune.data.DatasetWarning")
def test_imported_hdf5_that_is_more_than_its_own_numbers(make, tmp_path, minari_root):
    made = world.make(KIND, np.random.default_rng(0))
    path = world.write_flat(made, tmp_path / "file.h5", "d4rl")
    with h5py.File(path, "r+") as file:
        n = len(file["rewards"])
        file["episode_0/terminations"] = np.ones(n)
        del file["rewards"]
        make(file, n, secret(tmp_path))
    with pytest.raises(DatasetError, match=r"file\.h5"):
        import_file(path, "hostile/links-v0")
    assert not (minari_root / "hostile" / "links-v0").exists()


@pytest.mark.parametrize("content", ["npy", "npz", "pickle", "torch"])
def test_other_formats_are_refused(content, tmp_path, target, folder):
    path = tmp_path / f"file.{content}"
    if content == "torch":
        torch.save(Payload(target), path)
    elif content == "pickle":
        path.write_bytes(pickle.dumps(Payload(target)))
    else:
        array = np.array([Payload(target)], dtype=object)
        with path.open("wb") as file:
            (np.save if content == "npy" else np.savez)(file, array)
    for load in (load_dataset, lambda p: import_file(p, "hostile/other-v0")):
        with pytest.raises(DatasetError):
            load(path)
    (folder / "data" / "main_data.hdf5").write_bytes(path.read_bytes())
    with pytest.raises(DatasetError):
        load_dataset(folder)


def test_a_linked_file_is_checked_like_any_other(folder, tmp_path, target):
    """Symbolic links are followed, for reading alone; what they lead to is no exception."""
    data = folder / "data" / "main_data.hdf5"
    elsewhere = tmp_path / "elsewhere.hdf5"
    data.rename(elsewhere)
    data.symlink_to(elsewhere)
    assert len(load_dataset(folder))
    elsewhere.write_bytes(pickle.dumps(Payload(target)))
    with pytest.raises(DatasetError):
        load_dataset(folder)


def test_nothing_is_written_through_a_link(result, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mask.safetensors").write_text("mine")
    (tmp_path / "mask.safetensors").symlink_to(outside / "mask.safetensors")
    result.mask.save(tmp_path / "mask.safetensors")
    assert (outside / "mask.safetensors").read_text() == "mine"
    (tmp_path / "run").symlink_to(outside)
    with pytest.raises(OutputDirectoryError, match="exists and holds"):
        result.save(tmp_path / "run")
    assert [p.name for p in outside.iterdir()] == ["mask.safetensors"]


def test_images_that_are_no_jpeg(tmp_path):
    """Pillow would hand other kinds, PostScript among them, to other programs."""
    made = world.make("pixel-discrete", np.random.default_rng(0))
    space = gymnasium.spaces.Box(0, 255, (32, 32, 3), np.uint8)
    made.metadata = {
        "jpeg_encoding": True, "observation_space": world.serialize_space(space),
    }  # fmt: skip
    for episode in made.episodes:
        rows = len(episode["rewards"]) + 1
        text = np.frombuffer(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n", np.uint8)
        episode["observations"] = np.tile(text, (rows, 1))
    folder = world.write_hdf5(made, tmp_path / "set")
    with pytest.raises(DatasetError, match="step 0: observations holds no JPEG"):
        load_dataset(folder)


@pytest.mark.parametrize("text", JSONS.values(), ids=JSONS)
def test_odd_json_of_a_dataset(text, folder):
    (folder / "data" / "metadata.json").write_text(text)
    with pytest.raises(DatasetError, match="cannot be opened"):
        load_dataset(folder)
    change_space = json.dumps({"type": "Dict", "subspaces": {}})
    (folder / "data" / "metadata.json").write_text("{}")
    change(folder, observation_space=change_space, data_format="hdf5")
    with pytest.raises(DatasetError):
        load_dataset(folder)


def test_a_space_without_end(folder):
    space = '{"type": "Tuple", "subspaces": [' * 5_000 + "]}" * 5_000
    change(folder, observation_space=space)
    with pytest.raises(DatasetError):
        load_dataset(folder)


def test_reading_needs_no_right_to_write(folder):
    data = folder / "data"
    for path in data.iterdir():
        path.chmod(0o444)
    os.chmod(data, 0o555)
    try:
        assert len(load_dataset(folder))
    finally:
        os.chmod(data, 0o755)
