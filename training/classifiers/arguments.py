"""Command lines that hold settings of a job and, besides them, settings of the trainings that it starts."""

from collections.abc import Sequence

from pipelines.settings import Settings

__all__ = ["own_and_trainings"]


def own_and_trainings(arguments: Sequence[str], own: type[Settings]) -> tuple[list[str], list[str]]:
    """Those of the job, whose keys `own` has, with its options; and those of jobs/train_classifier.py."""
    trainings = [argument for argument in arguments if _is_of_training(argument, own)]
    return [argument for argument in arguments if argument not in trainings], trainings


def _is_of_training(argument: str, own: type[Settings]) -> bool:
    key, equals, _ = argument.partition("=")
    return bool(equals) and not key.startswith("-") and key.split(".")[0] not in own.model_fields
