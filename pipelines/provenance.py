"""Which code, on which libraries, made something."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

__all__ = ["code_version", "made_by"]

_LIBRARIES = ("numpy", "pillow", "pyarrow", "pyspark")


def code_version() -> str:
    """The commit of the checkout that this file lies in, "-dirty" where it has been changed, or the installed
    version."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return described.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return version("roadsign-robustness")


def made_by() -> dict[str, str]:
    """For a manifest: code, Python, libraries."""
    libraries = {name: version(name) for name in _LIBRARIES}
    return {"code": code_version(), "python": platform.python_version(), **libraries}
