"""The values of one key that a study chooses from."""

import json
import math
from typing import Any, Self

from optuna.trial import Trial
from pydantic import Field, model_validator

from pipelines.settings import Settings

__all__ = ["Space", "override"]


class Space(Settings):
    """A range from `low` to `high`, both included, uniform or with `log` log-uniform: whole numbers if both ends are
    written as whole numbers; or one of `choices`, which may be lists and mappings too."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: tuple[Any, ...] | None = Field(default=None, min_length=2)

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("has choices, and low, high or log as well; give either choices, or low and high")
            if len({text(choice) for choice in self.choices}) < len(self.choices):
                raise ValueError("choices contains duplicates")
            return self
        if self.low is None or self.high is None:
            raise ValueError("expected low and high, or choices")
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"low is {self.low} and high is {self.high}, expected finite numbers, low below high")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs a low above 0, got {self.low}")
        return self

    @property
    def examples(self) -> tuple[Any, ...]:
        """The choices, or both ends: if the settings accept these, they accept what is between."""
        return self.choices if self.choices is not None else (self.low, self.high)

    def suggest(self, trial: Trial, key: str) -> int | float | str:
        """The value that the sampler proposes. Choices are text, since Optuna stores no lists."""
        if self.choices is not None:
            return trial.suggest_categorical(key, [text(choice) for choice in self.choices])
        low, high = self.low, self.high
        if isinstance(low, int) and isinstance(high, int):
            return trial.suggest_int(key, low, high, log=self.log)
        assert low is not None and high is not None
        return trial.suggest_float(key, low, high, log=self.log)


def text(value: Any) -> str:
    """As it is written in an override: text is literal, everything else is YAML."""
    return value if isinstance(value, str) else json.dumps(value)


def override(key: str, value: Any) -> str:
    return f"{key}={text(value)}"
