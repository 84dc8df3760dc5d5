"""The contract of forms in which a network comes from outside."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import nn

from pipelines.errors import RoadsignError

__all__ = ["Declared", "ForeignError", "Form", "explained", "first_line", "read_bytes"]


class ForeignError(RoadsignError):
    """A model from outside cannot be opened, or does not fit the images."""


class Declared(NamedTuple):
    """What a form itself says of the batches (N, channels, size_px, size_px) that its network takes: None if it says
    nothing, `least` ≤ N ≤ `most`."""

    channels: int | None = None
    size_px: int | None = None
    least: int = 1
    most: int | None = None


@dataclass(frozen=True)
class Form(ABC):
    """`reference` is what the user wrote."""

    kind: ClassVar[str]
    reference: str

    @classmethod
    @abstractmethod
    def is_meant_by(cls, reference: str) -> bool: ...

    @classmethod
    @abstractmethod
    def open(cls, reference: str) -> Self:
        """Raises ForeignError."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256 in hexadecimal digits; what the network is known by in tables and manifests."""

    @property
    @abstractmethod
    def declared(self) -> Declared:
        """Raises ForeignError if it is not a network for images."""

    @abstractmethod
    def network(self, device: torch.device) -> nn.Module:
        """In evaluation mode on `device`, without gradients of its parameters. Raises ForeignError."""

    @abstractmethod
    def packed(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Settings and state of a checkpoint that `unpacked` makes the form from on another machine."""

    @classmethod
    @abstractmethod
    def unpacked(cls, reference: str, settings: Mapping[str, Any], state: Mapping[str, Any]) -> Self:
        """Raises ForeignError."""


@contextmanager
def explained(what: str, advice: str = "") -> Iterator[None]:
    """Around the code of others, which may raise anything: it becomes a ForeignError of one line, `what` and why."""
    try:
        yield
    except ForeignError:
        raise
    except Exception as error:  # noqa: BLE001
        raise ForeignError(f"{what} ({type(error).__name__}: {first_line(error)}){advice and f'; {advice}'}") from None


def first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")


def read_bytes(path: Path) -> bytes:
    """Raises ForeignError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ForeignError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
