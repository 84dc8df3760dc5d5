"""Atomic writing of files."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pipelines.store.atomic_file import atomic_file
from training.evaluation.classifiers.predicting import EvaluationError

__all__ = ["replacing"]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; at the end it replaces `path` in one step.

    Raises EvaluationError if the disk refuses; the old file is then still there."""
    try:
        with atomic_file(path) as partial:
            yield partial
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be written ({error}); make room or choose another output_root") from None
