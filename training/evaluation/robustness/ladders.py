"""The variants of one noise in order of its strength: the ladders that thresholds are found on."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipelines.noise import Noise, Strength
from pipelines.settings import describe
from training.evaluation.classifiers.predicting import Predictions

__all__ = ["Ladder", "Rung", "find_ladders"]


class Rung(NamedTuple):
    """`strength` in the unit of the ladder, 0 for clean images."""

    strength: float
    variant: str


class Ladder(NamedTuple):
    """`name` is that of the noise, with the settings in which it differs from another ladder of the same noise; `unit`
    and `quantity` are those of its strengths, as in Strength."""

    name: str
    unit: str
    quantity: str
    rungs: tuple[Rung, ...]

    @property
    def axis(self) -> str:
        """The label of an axis."""
        return Strength(0.0, self.unit, self.quantity).axis

    @property
    def weakest(self) -> float:
        """The smallest strength that is not 0."""
        return min(rung.strength for rung in self.rungs if rung.strength > 0)

    @property
    def strongest(self) -> float:
        return max(rung.strength for rung in self.rungs)


def find_ladders(found: Mapping[str, Predictions]) -> list[Ladder]:
    """Of the variants of one network, `found` by variant: those of one noise whose settings differ in nothing but its
    strength, behind the clean images. Two variants of equal strength have equal images, and one of them is used."""
    clean = next((variant for variant, one in found.items() if one.noise is None and one.attack is None), None)
    families: dict[str, dict[float, str]] = {}
    noises: dict[str, Noise] = {}
    for variant, one in found.items():
        if one.noise is not None and one.noise.strength.value > 0:
            family = json.dumps([one.noise.kind, _others(one.noise)], sort_keys=True)
            noises.setdefault(family, one.noise)
            families.setdefault(family, {}).setdefault(one.noise.strength.value, variant)
    start = [] if clean is None else [Rung(0.0, clean)]
    return [
        Ladder(
            _name(noises[family], list(noises.values())),
            *noises[family].strength[1:],
            (*start, *(Rung(strength, variant) for strength, variant in sorted(rungs.items()))),
        )
        for family, rungs in families.items()
    ]


def _others(noise: Noise) -> dict[str, object]:
    """The settings that are not its strength."""
    return {key: value for key, value in describe(noise).items() if key not in noise.strength_keys | {"kind"}}


def _name(noise: Noise, all_noises: Sequence[Noise]) -> str:
    same = [_others(one) for one in all_noises if one.kind == noise.kind]
    differing = {key: value for key, value in _others(noise).items() if any(one[key] != value for one in same)}
    return ", ".join([noise.kind, *(f"{key} {value}" for key, value in differing.items())])
