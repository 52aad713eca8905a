"""A study as one HTML file that a person can read, print and sign; nothing in it comes from elsewhere."""

from trainer.study.report.write import Lang, write_report

__all__ = ["Lang", "write_report"]
