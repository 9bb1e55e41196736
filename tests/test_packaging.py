"""The versions that are tested are the ones that pyproject.toml allows."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]


def requirements():
    """Every direct requirement: of the package, of its extras, of its tests."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = settings["project"]
    extras = project["optional-dependencies"].values()
    groups = settings["dependency-groups"].values()
    lists = (project["dependencies"], *extras, *groups)
    return [Requirement(line) for lines in lists for line in lines]


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
