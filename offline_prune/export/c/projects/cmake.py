"""A policy as a CMake project: a library, and a test that runs its self-test."""

from __future__ import annotations

from collections.abc import Mapping

from offline_prune.acting.policy import ActingPolicy
from offline_prune.export.c.projects.sources import project
from offline_prune.export.written import Writing

__all__ = ["CMAKE"]


def _files(policy: ActingPolicy, writing: Writing) -> Mapping[str, str]:
    return {
        "CMakeLists.txt": _LISTS.format(name=writing.name),
        "test/self_test.c": _TEST.format(name=writing.name),
    }


_LISTS = """\
# The policy as a library. Alone: cmake -B build && cmake --build build && ctest --test-dir build
# In another project: add_subdirectory({name}), then target_link_libraries(robot PRIVATE {name})
cmake_minimum_required(VERSION 3.10...3.31)
project({name} LANGUAGES C)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()

add_library({name} STATIC src/{name}.c)
target_include_directories({name} PUBLIC include)
set_target_properties({name} PROPERTIES C_STANDARD 99)
if(CMAKE_C_COMPILER_ID MATCHES "GNU|Clang")
  # What is not called, the self-test for one, need not be linked: -Wl,--gc-sections
  target_compile_options({name} PRIVATE -ffunction-sections -fdata-sections)
endif()
if(UNIX)
  target_link_libraries({name} PUBLIC m)
endif()

if(CMAKE_SOURCE_DIR STREQUAL PROJECT_SOURCE_DIR)
  enable_testing()
  add_executable({name}_test test/self_test.c)
  target_link_libraries({name}_test PRIVATE {name})
  add_test(NAME {name}_self_test COMMAND {name}_test)
endif()
"""

_TEST = """\
#include <stdio.h>
#include "{name}.h"

int main(void)
{{
    const int wrong = {name}_self_test();
    printf("{name}, offline_prune %s, agent %.12s: %s\\n", {name}_version, {name}_hash,
           wrong ? "wrong" : "as it should be");
    return wrong;
}}
"""

CMAKE = project("CMake project of C99", "include", _files)
