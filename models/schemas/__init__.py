"""JSON Schemas of what leaves this process: the manifest of a bundle and the verdict on the wire.

`make schemas` writes them from the types; a test holds them together.
"""

import json
from pathlib import Path

from pydantic import BaseModel

from models.manifest import Manifest
from models.verdict import Verdict

FOLDER = Path(__file__).parent


def schemas() -> dict[str, str]:
    """File name -> JSON text of every published schema."""
    types: dict[str, type[BaseModel]] = {"manifest.v1.json": Manifest, "verdict.v1.json": Verdict}
    return {name: json.dumps(kind.model_json_schema(), indent=2) + "\n" for name, kind in types.items()}
