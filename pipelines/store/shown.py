"""How tables and figures show a variant. The manifest records it, so that no reader has to parse names."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipelines.store.schema import CLEAN

__all__ = ["NONE", "SHOWN_CURVE", "SHOWN_STRENGTH", "Shown"]

NONE = "none"
SHOWN_NOISE, SHOWN_LEVEL = "shown_noise", "shown_level"
SHOWN_CURVE = "shown_curve"
"""The key in an adversarial variant's fingerprint for the name that its variants of all strengths share."""
SHOWN_STRENGTH = "shown_strength"
"""The key in an adversarial variant's fingerprint for its strength: {"snr_db": …}, {"eps": …} or {"pixels": …}, null if
the attack has no strength."""


class Shown(NamedTuple):
    """A noise or attack and its level. Both are NONE for clean images; the level is NONE for an attack without one."""

    noise: str = NONE
    level: str = NONE

    @property
    def variant(self) -> str:
        """The default name of the variant: clean, gaussian-max, deepfool."""
        if self.noise == NONE:
            return CLEAN
        return self.noise if self.level == NONE else f"{self.noise}-{self.level}"

    @property
    def facts(self) -> dict[str, str]:
        """The entries in the fingerprint."""
        return {SHOWN_NOISE: self.noise, SHOWN_LEVEL: self.level}

    @classmethod
    def read(cls, fingerprint: Mapping[str, Any]) -> "Shown | None":
        """Reads the entries of a fingerprint; None if it lacks them."""
        noise, level = fingerprint.get(SHOWN_NOISE), fingerprint.get(SHOWN_LEVEL)
        return cls(noise, level) if isinstance(noise, str) and isinstance(level, str) else None
