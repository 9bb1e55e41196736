"""The datasets that need no download."""

import subprocess
import sys

import numpy as np
import pytest

from offline_prune.data import list_dataset_recipes, load_dataset, make_environment
from offline_prune.recipes.shipped_files import shipped
from tests.data.references import measure_references

# minatar/breakout-v0 takes longer; tests/data/test_minatar.py makes a part of it.
GENERATED = [
    n
    for n, r in list_dataset_recipes().items()
    if r.kind == "generated" and "policy" not in r.collection
]
BUNDLED = [n for n, r in list_dataset_recipes().items() if r.kind == "bundled"]


@pytest.mark.slow
@pytest.mark.parametrize("name", GENERATED)
def test_generated_sets_are_the_same_everywhere(name, tmp_path, monkeypatch):
    first = load_dataset(name)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    again = load_dataset(name)
    for field in ("frames", "actions", "rewards", "terminals", "ends"):
        np.testing.assert_array_equal(getattr(first, field), getattr(again, field))
    assert 29_000 <= len(first) <= 31_000


@pytest.mark.slow
@pytest.mark.parametrize("name", GENERATED)
def test_reference_scores_measure_again(name):
    recipe = list_dataset_recipes()[name]
    assert "seeds 0 to 99" in recipe.reference_source
    low, high = measure_references(recipe, range(100))
    assert low == pytest.approx(recipe.reference_min, abs=1e-3)
    assert high == pytest.approx(recipe.reference_max, abs=1e-3)
    metadata = load_dataset(name).metadata
    assert (metadata.reference_min, metadata.reference_max) == (
        recipe.reference_min,
        recipe.reference_max,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", GENERATED)
def test_there_is_something_to_learn(name):
    metadata = load_dataset(name).metadata
    assert 0 < metadata.normalized_score(metadata.mean_return) < 0.9


@pytest.mark.slow
def test_two_processes_make_the_same_set_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    script = (
        "from offline_prune import load_dataset; print(len(load_dataset('cartpole/mixture-v0')))"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [worker.communicate()[0].strip() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert printed[0] == printed[1] != ""
    names = sorted(path.name for path in (tmp_path / "cartpole").iterdir())
    assert names == ["mixture-v0", "namespace_metadata.json"]


def test_an_interrupted_generation_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))

    def full_disk(self, episodes):
        raise OSError("no space left")

    monkeypatch.setattr(
        "minari.dataset._storages.hdf5_storage.HDF5Storage.update_episodes", full_disk
    )
    with pytest.raises(OSError, match="no space"):
        load_dataset("cartpole/mixture-v0")
    assert list((tmp_path / "cartpole").iterdir()) == []


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_sets(name):
    folder = shipped("datasets") / "bundled" / name
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= 4_000_000
    data = load_dataset(name)
    recipe = list_dataset_recipes()[name]
    assert data.frames.dtype == np.float32
    assert data.metadata.env_spec.id == recipe.environment
    assert data.metadata.dataset_id == name
    assert data.metadata.reference_min == recipe.reference_min
    environment = make_environment(data.metadata)
    observation, _ = environment.reset(seed=0)
    assert data.metadata.observation_layout.flatten_one(observation).shape == (17,)
    environment.close()


def test_every_recipe_says_where_its_dataset_is_from():
    recipes = list_dataset_recipes()
    assert {"pendulum/mixture-v0", "cartpole/mixture-v0"} <= set(recipes)
    for name, recipe in recipes.items():
        assert recipe.id == name
        assert recipe.kind in ("bundled", "generated", "minari")
        for field in ("environment", "description", "origin", "license"):
            assert getattr(recipe, field), (name, field)
