"""JSON Schemas of what leaves this process: the manifest of a bundle, every message on the wire, what is kept of
parts, and what persons said of them.

`make schemas` writes them from the types; a test holds them together.
"""

import json
from pathlib import Path

from pydantic import BaseModel

from models.heartbeat import Heartbeat
from models.manifest import Manifest
from models.replay import Refused, Replayed, ReplayRequest, Snapshot, SnapshotRequest
from models.review import KeptVerdict, Review
from models.status import BoxStatus
from models.trigger import LineState, Trigger, TriggerReply
from models.verdict import Verdict

FOLDER = Path(__file__).parent


def schemas() -> dict[str, str]:
    """File name -> JSON text of every published schema."""
    types: dict[str, type[BaseModel]] = {
        "manifest.v1.json": Manifest,
        "verdict.v1.json": Verdict,
        "heartbeat.v1.json": Heartbeat,
        "trigger.v1.json": Trigger,
        "line_state.v1.json": LineState,
        "trigger_reply.v1.json": TriggerReply,
        "snapshot_request.v1.json": SnapshotRequest,
        "snapshot.v1.json": Snapshot,
        "replay_request.v1.json": ReplayRequest,
        "replayed.v1.json": Replayed,
        "refused.v1.json": Refused,
        "kept_verdict.v1.json": KeptVerdict,
        "review.v1.json": Review,
        "box_status.v1.json": BoxStatus,
    }
    return {name: json.dumps(kind.model_json_schema(), indent=2) + "\n" for name, kind in types.items()}
