"""Data sets with versions: pictures by their hash, who said what of them, and snapshots that never change.

    STORE/objects/<sha256>.png      the pictures and masks themselves
    STORE/pictures/<sha256>.json    what a picture looks like: a Picture
    STORE/claims/<digest>.json      what somebody said of a picture: a Claim; never changed, never removed
    STORE/snapshots/<name>.json     which pictures, with which labels and roles: a Snapshot; never changed

claims -> labels (`labels.py`) -> roles (`roles.py`) -> snapshot -> a folder to fit or measure with (`checkout.py`)
"""
