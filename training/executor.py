"""An attack as plain data on its way to an executor, which may turn out not to have torch."""

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import RoadsignError

if TYPE_CHECKING:
    from training.attack_step import AttackStep

__all__ = ["ExecutorError", "ShippedAttack"]


class ExecutorError(RoadsignError):
    """An executor cannot do what is asked of it."""


@dataclass(frozen=True)
class ShippedAttack:
    """`file` is the name that the classifier's file has among the session's files; `attack` is described, and
    `strengths` are those of AdversarialDatasets."""

    file: str
    attack: Mapping[str, Any]
    strengths: Mapping[str, Mapping[str, float] | None]
    seed: int
    batch_size: int

    def __call__(self, files: Path, threads: int, gpu: str | None) -> "AttackStep":
        """On an executor. Raises ExecutorError where it has no torch."""
        try:
            from training.attack_step import AttackStep  # here: that there is no torch can be said only once we run
        except ModuleNotFoundError as error:
            raise ExecutorError(
                f"executor {platform.node()}: its Python, {sys.executable}, has no {error.name}; install the project "
                "there (uv sync), or say in PYSPARK_PYTHON which Python has it"
            ) from None
        return AttackStep.opened(self, files / self.file, threads, gpu)
