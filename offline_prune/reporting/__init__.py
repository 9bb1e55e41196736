"""Reports: the folder of a study, or of one run, as tables, figures and one page."""

from __future__ import annotations

from offline_prune.reporting.analysis import Analysis, analyse
from offline_prune.reporting.figures import FIGURES
from offline_prune.reporting.one_run import RunReport, report_run
from offline_prune.reporting.write import Report, report

__all__ = [
    "FIGURES",
    "Analysis",
    "Report",
    "RunReport",
    "analyse",
    "report",
    "report_run",
]
