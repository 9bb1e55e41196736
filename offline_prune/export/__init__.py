"""Export: the acting policy as a file that runs without this package, compacted and checked."""

from __future__ import annotations

from offline_prune.export.export import (
    FORMATS,
    ExportedPolicy,
    UncheckedExportWarning,
    export_policy,
)
from offline_prune.export.policy import ActingPolicy, acting_policy
from offline_prune.export.traced import WholeEncoderWarning

__all__ = [
    "FORMATS",
    "ActingPolicy",
    "ExportedPolicy",
    "UncheckedExportWarning",
    "WholeEncoderWarning",
    "acting_policy",
    "export_policy",
]
