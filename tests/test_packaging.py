"""The versions that are tested are the ones that pyproject.toml allows."""

import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import offline_prune
from tests.distribution import SHIPPED, check_wheel

ROOT = Path(__file__).parents[1]


def requirements():
    """Every direct requirement: of the package, of its extras, of its tests."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = settings["project"]
    extras = project["optional-dependencies"].values()
    groups = settings["dependency-groups"].values()
    lists = (project["dependencies"], *extras, *groups)
    found = [Requirement(line) for lines in lists for line in lines]
    return [requirement for requirement in found if requirement.name != project["name"]]


def lower_bound(requirement):
    (bound,) = (part.version for part in requirement.specifier if part.operator == ">=")
    return Version(bound)


def pins(file):
    lines = (line.partition("#")[0].strip() for line in (ROOT / file).read_text().splitlines())
    pairs = (line.split("==") for line in lines if line)
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def test_the_oldest_versions_are_the_lower_bounds():
    oldest = pins("constraints-oldest.txt")
    untested = [
        str(requirement)
        for requirement in requirements()
        if oldest.get(canonicalize_name(requirement.name)) != lower_bound(requirement)
    ]
    assert untested == []


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-oldest.txt"])
def test_pinned_versions_are_allowed(file):
    pinned = pins(file)
    forbidden = [
        str(requirement)
        for requirement in requirements()
        if pinned[canonicalize_name(requirement.name)] not in requirement.specifier
    ]
    assert forbidden == []


def test_the_extra_all_is_every_extra_that_goes_with_the_others():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    inside = set().union(*(Requirement(line).extras for line in extras["all"]))
    assert inside == set(extras) - {"all", "tianshou", "peers"}


def test_all_files_name_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = dict(
        line.split(": ", 1)
        for line in (ROOT / "CITATION.cff").read_text().splitlines()
        if ": " in line
    )
    assert project["version"] == offline_prune.__version__ == cited["version"]
    assert project["license"] == cited["license"]


@pytest.mark.parametrize("names", [SHIPPED[1:], (*SHIPPED, "tests/worlds.py")])
def test_a_wheel_with_other_files_is_refused(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        for name in names:
            archive.writestr(name, "")
    with pytest.raises(SystemExit, match=r"a\.whl"):
        check_wheel(tmp_path / "a.whl")


def test_the_image_is_made_of_all_that_the_wheel_is():
    lines = [line.split() for line in (ROOT / "Dockerfile").read_text().splitlines()]
    copied = {name for line in lines if line[:1] == ["COPY"] for name in line[1:-1]}
    allowed = (ROOT / ".dockerignore").read_text().split()
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    wheel = build["targets"]["wheel"]
    assert copied >= {*wheel["packages"], *wheel["force-include"], "pyproject.toml", "README.md"}
    assert {f"!{name}" for name in copied} <= set(allowed)
