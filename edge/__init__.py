"""The daemon on the industrial PC: cameras in, verdicts out. Never imports torch."""
