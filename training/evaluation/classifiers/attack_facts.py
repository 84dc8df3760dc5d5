"""What the files of an adversarial variant record about its images and how they were made."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.store.schema import ATTACKED, ATTACKED_DIGITS
from pipelines.store.shown import SHOWN_CURVE, SHOWN_STRENGTH
from training.evaluation.classifiers.row_columns import read_columns
from training.streams.open_split import OpenSplit

__all__ = ["AttackFacts", "Kind", "Strength", "read_attack_facts"]

Kind = Literal["snr", "eps", "pixels"]
KINDS: Mapping[str, Kind] = {"snr_db": "snr", "eps": "eps", "pixels": "pixels"}
"""By the key in the manifest."""


class Strength(NamedTuple):
    """Decibels of a signal-to-noise ratio, a radius on the scale of [0, 1], or the number of pixels that may be
    changed."""

    kind: Kind
    value: float

    @property
    def rank(self) -> float:
        """Increases with the strength."""
        return -self.value if self.kind == "snr" else self.value


@dataclass(frozen=True)
class AttackFacts:
    """`network` is the digest of the network that was attacked, `source` the variant whose images were attacked.
    `attack` is the kind of the attack, and `curve` the name that its variants of all strengths share; `strength` is
    None if it has none. `seeks` is whether the attack sought the smallest perturbation instead of using a given
    strength. `snr_db` (N,), float32, is that of the stored images in order of their ids: +inf if nothing was changed,
    NaN if the image is black."""

    network: str
    source: str
    attack: str
    curve: str
    strength: Strength | None
    seeks: bool
    snr_db: NDArray[np.float32]

    @property
    def relative_perturbations(self) -> NDArray[np.float64]:
        """‖δ‖₂ / ‖x‖₂ of each image, (N,): 10^(−SNR/20), equation 2 of the Parseval report."""
        ratios: NDArray[np.float64] = 10 ** (-self.snr_db.astype(np.float64) / 20)
        return ratios

    def transferred(self, noise: str) -> str:
        """The name of a noise in the results of a network other than the attacked one."""
        return f"{noise}_transfer_{self.network[:ATTACKED_DIGITS]}"

    def at(self, rows: NDArray[np.bool_]) -> "AttackFacts":
        """The facts of some of the images."""
        return replace(self, snr_db=self.snr_db[rows])


def read_attack_facts(source: OpenSplit, variant: str) -> AttackFacts | None:
    """None if the images are not adversarial. Reads only two small columns. Raises StreamError."""
    opened = source.variants[variant]
    facts = opened.manifest.fingerprint
    if ATTACKED not in facts:
        return None
    return AttackFacts(
        network=facts[ATTACKED],
        source=facts["attacked_variant"],
        attack=facts["attack"]["kind"],
        curve=facts[SHOWN_CURVE],
        strength=_strength(facts[SHOWN_STRENGTH]),
        seeks=facts["strength"] is None,
        snr_db=read_columns(source, variant, ["snr_db"])["snr_db"].to_numpy(),
    )


def _strength(recorded: Mapping[str, Any] | None) -> Strength | None:
    if recorded is None:
        return None
    ((key, value),) = recorded.items()
    return Strength(KINDS[key], float(value))
