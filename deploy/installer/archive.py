"""The two halves of an installer in one file: a shell script, and a tar behind it."""

import os
import platform
import shutil
import tarfile
from pathlib import Path

from models.files import sha256_of

HERE = Path(__file__).resolve().parent
EPOCH_S = 315_532_800  # the first second that a zip file can write; of every file in here


def pack(payload: Path, tar: Path) -> Path:
    """The same files give the same tar. Wheels are compressed already."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime, member.mode = EPOCH_S, 0o755 if member.isdir() else 0o644
        return member

    with tarfile.open(tar, "w", format=tarfile.GNU_FORMAT) as opened:
        for path in sorted(payload.rglob("*")):
            opened.add(path, str(path.relative_to(payload)), recursive=False, filter=plain)
    return tar


def join(tar: Path, out: Path, name: str, python: str) -> None:
    """The script, then the tar. It has to know its own length, which has five digits whatever it is."""
    words = {
        "NAME": name,
        "PYTHON": python,
        "MACHINE": platform.machine(),
        "SHA256": sha256_of(tar),
        "UNPACKED_MB": str(tar.stat().st_size // 1_000_000 + 1),
    }
    script = (HERE / "head.sh").read_text(encoding="utf-8")
    for word, value in words.items():
        script = script.replace(f"@{word}@", value)
    length = len(script.replace("@OFFSET@", "00000").encode())
    script = script.replace("@OFFSET@", f"{length + 1:05}")
    temporary = out.with_name(f".{out.name}.part")
    try:
        with temporary.open("wb") as file, tar.open("rb") as payload:
            file.write(script.encode())
            shutil.copyfileobj(payload, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o755)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
