"""Folders of a C policy, built as their users build them."""

import re
import shutil
import subprocess

import pytest

from offline_prune.errors import InputError, OutputDirectoryError, UnknownNameError
from offline_prune.export import export_policy
from tests.export.agents import named
from tests.worlds import dataset

AGENTS = {"continuous": "td3", "discrete": "dqn"}


def call(*command, cwd, fails=False):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout


def break_a_bias(source):
    """Change what the last layer adds to its first output, so that it is not what is chosen."""
    text = source.read_text()
    start = [m.end() for m in re.finditer(r"float network_0_\d+_bias\[\d+\] = \{\n", text)][-1]
    other = "-50.0f" if "== 0 ? 0 : 1" in text else "50.0f"
    source.write_text(text[:start] + re.sub(r"[^,\n]+", other, text[start:], count=1))


@pytest.mark.slow
@pytest.mark.parametrize("kind", AGENTS)
@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake here")
def test_cmake_builds_and_tests(kind, tmp_path):
    algo, observations = named(AGENTS[kind])
    written = export_policy(algo, tmp_path / "walker", observations, as_="cmake")
    assert (written.format, written.n_checked) == ("CMake project of C99", len(observations))
    call("cmake", "-B", "build", cwd=written.path)
    call("cmake", "--build", "build", cwd=written.path)
    assert "100% tests passed" in call("ctest", cwd=written.path / "build")
    assert written.digest[:12] in call("build/walker_test", cwd=written.path)
    break_a_bias(written.path / "src/walker.c")
    call("cmake", "--build", "build", cwd=written.path)
    call("ctest", cwd=written.path / "build", fails=True)


ROBOT = """\
#include <iostream>
#include "walker.h"
#include "runner.h"
int main()
{
    float x[WALKER_OBSERVATION_SIZE] = {0}, action[WALKER_ACTION_SIZE];
    walker_act(x, action);
    std::cout << walker_self_test() << runner_self_test() << runner_act(x);
}
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here")
def test_two_policies_in_a_program_of_c_plus_plus(tmp_path):
    sources = []
    for name, agent in (("walker", "td3"), ("runner", "dqn")):
        written = export_policy(
            named(agent)[0], tmp_path / name, dataset_of(agent), as_="cmake", dtype="int8"
        )
        call("cc", "-std=c99", "-Iinclude", "-c", f"src/{name}.c", cwd=written.path)
        sources += [f"{name}/{name}.o", f"-I{name}/include"]
    (tmp_path / "robot.cpp").write_text(ROBOT)
    call("g++", "-o", "robot", "robot.cpp", *sources, "-lm", cwd=tmp_path)
    assert re.fullmatch(r"00\d", call("./robot", cwd=tmp_path))


def dataset_of(agent):
    return dataset("vector-continuous" if agent == "td3" else "vector-discrete").observations


BOARD = """\
#include <cstdlib>
#include <iostream>
struct {
    void begin(long) {}
    template <class T> void println(T x) { std::cout << x << "\\n"; }
} Serial;
static int pauses = 0;
void delay(int) { if (++pauses == 3) std::exit(0); }
#include "examples/Act/Act.ino"
int main() { setup(); for (;;) loop(); }
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", AGENTS)
@pytest.mark.parametrize("frame_stack", [1, 5])
@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here")
def test_the_sketch_acts_after_its_self_test(kind, frame_stack, tmp_path):
    """On this machine: a serial line and a pause are all it takes of Arduino."""
    algo, observations = named(AGENTS[kind])
    written = export_policy(
        algo, tmp_path / "walker", observations, as_="arduino", frame_stack=frame_stack
    )
    call("cc", "-std=gnu11", "-c", "src/walker.c", cwd=written.path)
    (written.path / "board.cpp").write_text(BOARD)
    call("g++", "-Isrc", "-o", "board", "board.cpp", "walker.o", "-lm", cwd=written.path)
    hash_, *actions = call("./board", cwd=written.path).split()
    assert hash_ == written.digest
    assert len(actions) == 3
    assert ("walker_step(" in (written.path / "examples/Act/Act.ino").read_text()) == (
        frame_stack > 1
    )


def test_arduino_reads_its_properties(tmp_path):
    algo, observations = named("td3")
    written = export_policy(algo, tmp_path / "walker", observations, as_="arduino")
    lines = (written.path / "library.properties").read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines)
    assert (found["name"], found["includes"]) == ("walker", "walker.h")
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["version"])
    assert written.digest in found["paragraph"]


@pytest.mark.parametrize("name", ["my-policy", "2walk", "walk.c", ""])
def test_a_name_that_c_does_not_take_is_refused(name, tmp_path):
    algo, observations = named("td3")
    path = tmp_path / name if name else "/"
    with pytest.raises(InputError, match="letters, digits"):
        export_policy(algo, path, observations, as_="cmake")
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_touched(tmp_path):
    algo, observations = named("td3")
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(OutputDirectoryError, match="holds something"):
        export_policy(algo, tmp_path, observations, as_="arduino")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_project_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match=r"project.*arduino, cmake"):
        export_policy(named("td3")[0], tmp_path / "walker", as_="bazel")
