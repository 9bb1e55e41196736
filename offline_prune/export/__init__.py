"""Export: the acting policy as a file that runs without this package, compacted and checked."""

from __future__ import annotations

from offline_prune.acting.policy import ActingPolicy, acting_policy
from offline_prune.acting.traced import WholeEncoderWarning
from offline_prune.export.checked import FORMATS, ExportedPolicy, UncheckedExportWarning
from offline_prune.export.export import export_policy

__all__ = [
    "FORMATS",
    "ActingPolicy",
    "ExportedPolicy",
    "UncheckedExportWarning",
    "WholeEncoderWarning",
    "acting_policy",
    "export_policy",
]
