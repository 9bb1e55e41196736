"""Every public name shows how it is used, and what it shows is what happens."""

import ast
import doctest
from importlib import import_module
from inspect import getsource, isclass, isroutine

import pytest

from website.rooms import ROOMS


def attribute_docstring(room, name):
    """The string after ``name = …`` in the module that has it; "" where there is none."""
    tree = ast.parse(getsource(import_module(room))).body
    for node, following in zip(tree, [*tree[1:], None], strict=True):
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            return attribute_docstring(node.module, name)
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if name in [getattr(target, "id", None) for target in targets]:
            said = getattr(following, "value", None)
            return said.value if isinstance(said, ast.Constant) else ""
    return ""


def documented():
    """Public name → its doctests, methods included; a name that several rooms have, once."""
    finder, parser = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestParser()
    found, seen = {}, set()
    for room in ROOMS:
        module = import_module(room)
        for name in module.__all__:
            value, whole = getattr(module, name), f"{room}.{name}"
            if isclass(value) or isroutine(value) or hasattr(value, "__wrapped__"):
                if id(value) not in seen:
                    tests = finder.find(value, whole, module=False, globs={})
                    found[whole] = [test for test in tests if test.examples]
                seen.add(id(value))
            else:
                test = parser.get_doctest(attribute_docstring(room, name), {}, whole, whole, 0)
                found[whole] = [test] if test.examples else []
    return found


NAMES = documented()
EXAMPLES = [test for tests in NAMES.values() for test in tests]


@pytest.mark.filterwarnings("default::DeprecationWarning")  # tianshou's and its friends' own
@pytest.mark.parametrize("test", EXAMPLES, ids=lambda test: test.name)
def test_example(test):
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF | doctest.ELLIPSIS)
    said = []
    runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


def test_every_public_name_has_an_example():
    assert [name for name, tests in NAMES.items() if not tests] == []


def test_a_name_without_an_example_is_found():
    assert "offline_prune.study.DENSE" in NAMES
    assert attribute_docstring("offline_prune.study", "no such name") == ""
