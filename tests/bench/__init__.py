"""Benchmarks: each prints a table of its own; `make bench` runs all that can run here."""
