"""Models that learn from good images alone: one file each, behind the protocol of `model.py`.

`trainer/fit.py` asks a model for its size and what it learned; all else (threshold, parity gate, golden images,
bundle) is the same for all of them.
"""
