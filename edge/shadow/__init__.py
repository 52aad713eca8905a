"""A candidate that judges the same frames beside the active model, and acts on nothing.

It runs in a process of its own, `edge/shadow/child.py`, to which the system gives only what nobody else wants of the
processor, and which takes a frame only when no part waits. What it says is compared, counted and kept.
"""
