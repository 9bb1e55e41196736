"""Reports: a study's folder as tables, figures and one page."""

from __future__ import annotations

from offline_prune.reporting.analysis import Analysis, analyse
from offline_prune.reporting.figures import FIGURES
from offline_prune.reporting.write import Report, report

__all__ = ["FIGURES", "Analysis", "Report", "analyse", "report"]
