"""A policy as an Arduino library, which PlatformIO takes as well, with a sketch."""

from __future__ import annotations

import re
from collections.abc import Mapping

from offline_prune.acting.policy import ActingPolicy
from offline_prune.export.c.projects.sources import act_call, project
from offline_prune.export.written import Writing

__all__ = ["ARDUINO"]


def _files(policy: ActingPolicy, writing: Writing) -> Mapping[str, str]:
    name = writing.name
    said = "; ".join(f"{label}: {text}" for label, text in writing.about.items())
    stacked = writing.facts is not None and writing.facts.frame_stack > 1
    calls = _stacked(policy, name) if stacked else act_call(policy, name, "observation")
    size = "FRAME_SIZE" if stacked else "OBSERVATION_SIZE"
    action = "action" if policy.discrete else "action[0]"
    return {
        "library.properties": _PROPERTIES.format(
            name=name,
            version=_semantic("0.0.0" if writing.facts is None else writing.facts.version),
            about=re.sub(r"[^ -~]", "?", said),
        ),
        "examples/Act/Act.ino": _SKETCH.format(
            name=name,
            size=f"{name.upper()}_{size}",
            state=f"static {name}_stack stack;\n" if stacked else "",
            reset=f"  {name}_reset(&stack); // and where an episode begins\n" if stacked else "",
            calls=calls.replace("\n", "\n  "),
            action=action,
        ),
    }


def _stacked(policy: ActingPolicy, name: str) -> str:
    if policy.discrete:
        return f"const int action = {name}_step(&stack, observation);"
    size = f"{name.upper()}_ACTION_SIZE"
    return f"float action[{size}];\n{name}_step(&stack, observation, action);"


def _semantic(version: str) -> str:
    """Three numbers, which is all that Arduino takes."""
    found = re.match(r"\d+\.\d+\.\d+", version)
    return found[0] if found else "0.0.0"


_PROPERTIES = """\
name={name}
version={version}
author=offline_prune
maintainer=offline_prune
sentence=The acting policy of an agent, without heap and without libraries.
paragraph={about}
category=Device Control
url=https://www.arduino.cc/reference/en/libraries/
architectures=*
includes={name}.h
"""

_SKETCH = """\
// The policy acts on one observation a turn, after it has tested itself.
#include <{name}.h>

static float observation[{size}];
{state}
void setup() {{
  Serial.begin(115200);
  while ({name}_self_test() != 0) {{
    Serial.println("the policy does not act as its agent did");
    delay(1000);
  }}
  Serial.println({name}_hash);
{reset}}}

void loop() {{
  // Read the sensors into observation here, in the order of {name}.h.
  {calls}
  Serial.println({action});
  delay(20);
}}
"""

ARDUINO = project("Arduino library of C99", "src", _files)
