"""A C policy as a folder that a build system takes as it is."""

from __future__ import annotations

from collections.abc import Mapping

from offline_prune.export.c.projects.arduino import ARDUINO
from offline_prune.export.c.projects.cmake import CMAKE
from offline_prune.export.written import ExportFormat

__all__ = ["PROJECTS"]

PROJECTS: Mapping[str, ExportFormat] = {"arduino": ARDUINO, "cmake": CMAKE}
"""Name → format."""
