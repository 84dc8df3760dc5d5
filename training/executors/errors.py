"""The errors of executors; without torch, so that an executor without torch can report it."""

from pipelines.errors import RoadsignError

__all__ = ["ExecutorError"]


class ExecutorError(RoadsignError):
    """An executor cannot run the task."""
