"""People who sign bundles: the honest one by our own command's code, the other by hand, whatever he likes."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from deploy.keys import make_key
from deploy.sign import sign_bundle
from models.bundle import MANIFEST, SIGNATURE
from models.files import sha256_of
from models.trust import fingerprint_of

LATER = date(2099, 12, 31)


class Signer:
    """Somebody with a key in a folder of his own."""

    def __init__(self, folder: Path, name: str, until: date = LATER, compatible: Sequence[str] = ()) -> None:
        self.name, self.pair = name, make_key(folder, name, until, compatible)

    @property
    def trust(self) -> Path:
        """The folder that makes a box trust this key, and all others of the same folder."""
        return self.pair.public.parent

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.pair.public.read_bytes())

    def sign(self, bundle: Path) -> Path:
        """As `mekiki-deploy sign` does."""
        sign_bundle(bundle, self.pair.secret)
        return bundle

    def forge(self, bundle: Path, **changed: Any) -> Path:
        """Signs by hand, with a valid signature by this key, whatever lies in the folder or is claimed to."""
        text = statement(bundle) if "payload" not in changed else changed["payload"]
        fingerprint = changed.get("fingerprint", self.fingerprint)
        (bundle / SIGNATURE).write_text(json.dumps(self.envelope(text, fingerprint)))
        return bundle

    def envelope(self, payload: Mapping[str, Any], fingerprint: str) -> dict[str, Any]:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        raw, kind = json.dumps(payload).encode(), "application/vnd.in-toto+json"
        key = load_pem_private_key(self.pair.secret.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        encoded = f"DSSEv1 {len(kind)} {kind} {len(raw)} ".encode() + raw  # DSSE's pre-authentication encoding
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": fingerprint}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(raw).decode(),
                "payloadType": kind,
                "signatures": [
                    {"sig": base64.b64encode(key.sign(encoded, ec.ECDSA(hashes.SHA256()))).decode(), "keyid": ""}
                ],
            },
        }


def statement(
    bundle: Path, leave_out: str = "", algorithm: str = "sha256", ignore: Sequence[str] = ()
) -> dict[str, Any]:
    """What OpenSSF Model Signing states of a folder: the hash of every file, and one over all hashes."""
    files = {
        path.relative_to(bundle).as_posix(): sha256_of(path)
        for path in sorted(bundle.rglob("*"))
        if path.is_file() and path.name != SIGNATURE
    }
    files.pop(leave_out, None)
    joined = hashlib.sha256(b"".join(bytes.fromhex(digest) for _, digest in sorted(files.items())))
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": bundle.name, "digest": {"sha256": joined.hexdigest()}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": algorithm,
                "allow_symlinks": False,
                "ignore_paths": [SIGNATURE, *ignore],
            },
            "resources": [
                {"name": name, "algorithm": algorithm, "digest": digest} for name, digest in sorted(files.items())
            ],
        },
    }


def edit(folder: Path, **changed: Any) -> None:
    """Rewrites fields of a manifest as one who knows the format would."""
    raw = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps(raw | changed))
