"""What the signature of a bundle says: OpenSSF Model Signing, an in-toto statement in a Sigstore bundle.

It is the file `model.sig` of a bundle, beside what it covers: it names every other file with its hash, the
manifest included. Reading it proves nothing, `models/gate.py` does. Only the one form that this package signs
and checks is read: hashes of whole files by SHA-256, and an elliptic key that is named by its fingerprint.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.base import Sha256, first_error
from models.errors import UntrustedError

MAX_SIGNATURE_BYTES = 4 << 20
_AGAIN = "sign the bundle again"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a signature claims."""

    fingerprint: str  # of the signer's public key: sha256 of its PEM text
    files: Mapping[str, str]  # name -> sha256 of every file that it covers


class _Read(BaseModel):
    """A part of the file. Others may add keys to their format: what is not read here is let through."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class _PublicKey(_Read):
    hint: Sha256


class _Material(_Read):
    public_key: _PublicKey = Field(alias="publicKey")


class _Envelope(_Read):
    payload: str
    payload_type: Literal["application/vnd.in-toto+json"] = Field(alias="payloadType")
    signatures: list[Any] = Field(min_length=1, max_length=1)


class _File(_Read):
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"] = Field(alias="mediaType")
    material: _Material = Field(alias="verificationMaterial")
    envelope: _Envelope = Field(alias="dsseEnvelope")


class _Resource(_Read):
    name: str
    algorithm: Literal["sha256"]
    digest: Sha256


class _Serialization(_Read):
    method: Literal["files"]
    hash_type: Literal["sha256"]
    allow_symlinks: Literal[False]


class _Predicate(_Read):
    serialization: _Serialization
    resources: list[_Resource]


class _Statement(_Read):
    kind: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    predicate_type: Literal["https://model_signing/signature/v1.0"] = Field(alias="predicateType")
    predicate: _Predicate


def parse_signature(text: bytes, where: str) -> Signature:
    """Reads the content of a `model.sig`. Raises BundleError when it is anything but such a signature."""
    try:
        file = _File.model_validate(json.loads(text))
        payload = base64.b64decode(file.envelope.payload, validate=True)  # strict: every reader sees the same bytes
        resources = _Statement.model_validate(json.loads(payload)).predicate.resources
    except ValidationError as error:
        raise UntrustedError(f"{where}: not a signature of ours ({first_error(error)}); {_AGAIN}") from error
    except (ValueError, RecursionError, binascii.Error) as error:
        raise UntrustedError(f"{where}: not a signature ({str(error)[:100]}); {_AGAIN}") from error
    files = {resource.name: resource.digest for resource in resources}
    if len(files) < len(resources):
        raise UntrustedError(f"{where}: names a file twice; {_AGAIN}")
    return Signature(file.material.public_key.hint, files)
