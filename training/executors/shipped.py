"""The torch parts of a task, as plain data on its way to an executor, which may not have torch."""

import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.executors.errors import ExecutorError

if TYPE_CHECKING:
    from training.executors.attack_step import AttackStep
    from training.executors.score_step import ScoreStep

__all__ = ["ShippedAttack", "ShippedClassifier"]


@dataclass(frozen=True)
class ShippedAttack:
    """`file` is the name of the classifier's file among those of the session; `attack` is a description, and
    `strengths` are those of AdversarialDatasets."""

    file: str
    attack: Mapping[str, Any]
    strengths: Mapping[str, Mapping[str, float] | None]
    seed: int
    batch_size: int

    def __call__(self, files: Path, threads: int, gpu: str | None) -> "AttackStep":
        """Called on an executor. Raises ExecutorError if it has no torch."""
        with _needing_torch():
            from training.executors.attack_step import AttackStep
        return AttackStep.opened(
            files / self.file, self.attack, self.strengths, self.seed, self.batch_size, threads, gpu
        )


@dataclass(frozen=True)
class ShippedClassifier:
    """`file` is the name of the classifier's file among those of the session."""

    file: str
    batch_size: int

    def __call__(self, files: Path, threads: int, gpu: str | None) -> "ScoreStep":
        """Called on an executor. Raises ExecutorError if it has no torch."""
        with _needing_torch():
            from training.executors.score_step import ScoreStep
        return ScoreStep.opened(files / self.file, self.batch_size, threads, gpu)


@contextmanager
def _needing_torch() -> Iterator[None]:
    """For an import inside a function: whether there is torch is known only on the executor."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ExecutorError(
            f"executor {platform.node()}: its Python, {sys.executable}, lacks {error.name}; install the project "
            "there (uv sync), or set PYSPARK_PYTHON to a Python that has it"
        ) from None
