"""What an executor cannot do; without torch, so that an executor that has none can say so."""

from pipelines.errors import RoadsignError

__all__ = ["ExecutorError"]


class ExecutorError(RoadsignError):
    """An executor cannot do what is asked of it."""
