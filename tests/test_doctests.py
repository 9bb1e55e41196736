"""What the docstrings of public names show is what happens."""

import doctest
from importlib import import_module

import pytest

from website.rooms import ROOMS


def examples():
    """Every public name's doctests, methods included; a name counts once."""
    found = {}
    finder = doctest.DocTestFinder(exclude_empty=True)
    for room in ROOMS:
        module = import_module(room)
        for name in module.__all__:
            value = getattr(module, name)
            if not callable(value):
                continue
            for test in finder.find(value, f"{room}.{name}", module=False, globs={}):
                if test.examples:
                    found.setdefault((value.__module__, test.docstring), test)
    return list(found.values())


EXAMPLES = examples()


@pytest.mark.parametrize("test", EXAMPLES, ids=lambda test: test.name)
def test_example(test):
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    said = []
    runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


@pytest.mark.parametrize(
    "name",
    [
        "prune_then_train",
        "prune",
        "score",
        "load_dataset",
        "export_policy",
        "Mask",
        "EarlyStopping",
    ],
)
def test_everyday_names_have_an_example(name):
    assert f"offline_prune.{name}" in {test.name for test in EXAMPLES}
