"""Checkpoints: tensors and plain settings in one file, never a pickled class; written whole or not at all."""

import contextlib
import os
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pipelines.errors import RoadsignError

__all__ = ["Checkpoint", "CheckpointError"]

FORMAT = "roadsign-robustness checkpoint 1"


class CheckpointError(RoadsignError):
    """A checkpoint is missing, damaged, or of something else than what is asked for."""


class Checkpoint(NamedTuple):
    """`settings` says what the tensors belong to, as plain data; `state` holds nested dicts of tensors and numbers."""

    settings: Mapping[str, Any]
    state: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Replaces `path` in one step: whoever reads it, or kills us, finds the old one or the new one.

        Raises CheckpointError where the disk refuses; then the old one is still there."""
        partial = path.with_name(f".{path.name}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                torch.save({"format": FORMAT, **self._asdict()}, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
            with contextlib.suppress(OSError):
                partial.unlink()
            raise CheckpointError(f"{path}: cannot be written ({error}); make room or choose another folder") from None

    @classmethod
    def read(cls, path: Path, device: torch.device, **expected: Any) -> "Checkpoint":
        """The checkpoint at `path`, its tensors on `device`. Raises CheckpointError, also where its settings are not
        the `expected` ones."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch warns of old pickles before it refuses them
                found = torch.load(path, map_location=device, weights_only=True)
        except FileNotFoundError:
            raise CheckpointError(f"{path}: no such checkpoint") from None
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"{path}: damaged, or no checkpoint of ours ({str(error).splitlines()[0]})") from None
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise CheckpointError(f"{path}: no checkpoint of ours; it should say {FORMAT!r}")
        for name, value in expected.items():
            if found["settings"].get(name) != value:
                raise CheckpointError(f"{path}: is of {name} {found['settings'].get(name)}, expected {value}")
        return cls(found["settings"], found["state"])
