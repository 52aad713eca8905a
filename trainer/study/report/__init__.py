"""A study as one HTML file that a person can read, print and sign; nothing in it comes from elsewhere."""

from trainer.study.phrases import Lang
from trainer.study.report.write import write_report

__all__ = ["Lang", "write_report"]
