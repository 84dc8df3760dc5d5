"""Records which versions of the code and the libraries made a result."""

import hashlib
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

__all__ = ["code_digest", "code_version", "made_by"]

_PACKAGES = ("pipelines", "training")
_LIBRARIES = ("numpy", "pillow", "pyarrow", "pyspark")


def code_version() -> str:
    """The commit of the checkout that contains this file, with "-dirty" if it has uncommitted changes; otherwise the
    installed version."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return described.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return version("roadsign-robustness")


def code_digest() -> str:
    """SHA-256 of the installed sources of pipelines and training, and of the versions of the libraries that affect
    bytes and weights. It does not depend on where the code is installed."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        folder = Path(__file__).parents[2] / package
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{path.relative_to(folder.parent).as_posix()}\n".encode() + path.read_bytes())
    for name in (*_LIBRARIES, "torch"):
        digest.update(f"{name} {version(name)}\n".encode())
    return digest.hexdigest()


def made_by(batch_id: str | None = None) -> dict[str, str]:
    """For a manifest: the versions of code, Python and libraries, and the id of the retraining, if any."""
    libraries = {name: version(name) for name in _LIBRARIES}
    of_batch = {"batch_id": batch_id} if batch_id else {}
    return {"code": code_version(), "python": platform.python_version(), **libraries, **of_batch}
