"""Checkpoints: tensors and plain settings in one file, without pickled classes, written atomically."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import torch

from pipelines.errors import RoadsignError
from pipelines.store.atomic_file import atomic_file

__all__ = ["Checkpoint", "CheckpointError", "check_finite", "fitting"]

FORMAT = "roadsign-robustness checkpoint 1"


class CheckpointError(RoadsignError):
    """A checkpoint is missing, corrupt, or does not match what was asked for."""


class Checkpoint(NamedTuple):
    """`settings` says what the tensors belong to, as plain data; `state` holds nested dicts of tensors and numbers."""

    settings: Mapping[str, Any]
    state: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Replaces `path` in one step: a reader, or a restart after a kill, finds either the old file or the new one.

        Raises CheckpointError if the file cannot be written; the old one is then still there."""
        try:
            with atomic_file(path) as partial, partial.open("wb") as file:
                torch.save({"format": FORMAT, **self._asdict()}, file)
        except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
            raise CheckpointError(f"{path}: cannot be written ({error}); make room or choose another folder") from None

    @classmethod
    def read(cls, path: Path, device: torch.device, **expected: Any) -> "Checkpoint":
        """The checkpoint at `path`, with its tensors on `device`. Raises CheckpointError, also if its settings differ
        from the `expected` ones."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch warns about old pickles before it refuses them
                found = torch.load(path, map_location=device, weights_only=True)
        except FileNotFoundError:
            raise CheckpointError(f"{path}: no such checkpoint") from None
        except Exception as error:  # noqa: BLE001, the unpickler can raise almost anything on corrupt data
            raise CheckpointError(
                f"{path}: corrupt, or not a roadsign-robustness checkpoint ({_first_line(error)})"
            ) from None
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise CheckpointError(f"{path}: not a roadsign-robustness checkpoint; expected format {FORMAT!r}")
        settings, state = found.get("settings"), found.get("state")
        if not _is_named(settings) or not _is_named(state):
            raise CheckpointError(f"{path}: corrupt: its settings or its state are missing; use another copy")
        for name, value in expected.items():
            if settings.get(name) != value:
                raise CheckpointError(f"{path}: {name} is {settings.get(name)}, expected {value}")
        return cls(settings, state)


@contextlib.contextmanager
def fitting(path: Path, what: str) -> Iterator[None]:
    """For a block that unpacks a checkpoint: an entry that is missing or has another type or shape becomes a
    CheckpointError that names the file and `what` it does not fit."""
    try:
        yield
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else _first_line(error)
        raise CheckpointError(f"{path}: does not fit {what}: {why}; use another copy, or train again") from None


def check_finite(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raises CheckpointError, naming the tensor, if a weight is NaN or infinite."""
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: {name} has NaN or infinite values; train again, with a lower learning rate")


def _is_named(found: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(found, dict) and all(isinstance(name, str) for name in found)


def _first_line(error: Exception) -> str:
    """The first line, or the first two if the first one only introduces a list."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2] if lines[0].endswith(":") else lines[:1])
