"""How tables and figures show a variant; its manifest records it, so that no reader has to take names apart."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipelines.store.schema import CLEAN

__all__ = ["NONE", "SHOWN_CURVE", "SHOWN_STRENGTH", "Shown"]

NONE = "none"
SHOWN_NOISE, SHOWN_LEVEL = "shown_noise", "shown_level"
SHOWN_CURVE = "shown_curve"
"""The key in the fingerprint of an adversarial variant for the name that its variants of all strengths share."""
SHOWN_STRENGTH = "shown_strength"
"""The key in the fingerprint of an adversarial variant: {"snr_db": …}, {"eps": …} or {"pixels": …}, null if the attack
has no strength."""


class Shown(NamedTuple):
    """A noise or an attack and its level; both are NONE of clean images, the level also of an attack without one."""

    noise: str = NONE
    level: str = NONE

    @property
    def variant(self) -> str:
        """The name that a variant has by default: clean, gaussian-max, deepfool."""
        if self.noise == NONE:
            return CLEAN
        return self.noise if self.level == NONE else f"{self.noise}-{self.level}"

    @property
    def facts(self) -> dict[str, str]:
        """The keys in the fingerprint."""
        return {SHOWN_NOISE: self.noise, SHOWN_LEVEL: self.level}

    @classmethod
    def read(cls, fingerprint: Mapping[str, Any]) -> "Shown | None":
        """None if the fingerprint lacks them."""
        noise, level = fingerprint.get(SHOWN_NOISE), fingerprint.get(SHOWN_LEVEL)
        return cls(noise, level) if isinstance(noise, str) and isinstance(level, str) else None
