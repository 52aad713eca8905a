"""Signs a bundle: one more file in its folder, and none of the others is touched."""

import tempfile
from pathlib import Path

from models.bundle import SIGNATURE, Bundle, open_bundle
from models.errors import ConfigError
from models.files import TEMPORARY_PREFIX, write_whole
from models.gate import covered
from models.signature import parse_signature

_MAX_KEY_BYTES = 64 << 10


def sign_bundle(path: Path, key: Path) -> tuple[Bundle, str]:
    """Verifies the bundle and signs every file of it; a signature that it had is replaced.

    Returns it, and the fingerprint of the key. Raises BundleError when it is not whole, ConfigError when the key is
    none, or others can read it; then the bundle is as it was.
    """
    from model_signing.signing import Config

    bundle = open_bundle(path)
    _refuse_unfit(key)
    try:
        config = Config().use_elliptic_key_signer(private_key=key)
    except Exception as error:  # OpenSSL's, the library's and Python's: the file is no such key
        what = " ".join(str(error).split())[:100]
        raise ConfigError(f"{key}: not a private key of ours ({what}); make one with `mekiki-deploy keys`") from error
    # Beside the bundle: what a killed run leaves must not lie in it.
    with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=TEMPORARY_PREFIX) as folder:
        made = Path(folder) / SIGNATURE
        config.set_hashing_config(covered()).sign(path.absolute(), made)
        signature = parse_signature(made.read_bytes(), str(made))
        write_whole(path / SIGNATURE, made.read_bytes(), staging=Path(folder))
    return bundle, signature.fingerprint


def _refuse_unfit(key: Path) -> None:
    try:
        status = key.stat()
    except OSError as error:
        raise ConfigError(
            f"{key}: cannot be read ({error.strerror}); make a key with `mekiki-deploy keys --out DIR`"
        ) from error
    if status.st_mode & 0o077:
        raise ConfigError(f"{key}: mode {status.st_mode & 0o777:04o}, others can read this secret; chmod 600 {key}")
    if not key.is_file() or status.st_size > _MAX_KEY_BYTES:
        raise ConfigError(f"{key}: not a key file; give the .key that `mekiki-deploy keys` made")
