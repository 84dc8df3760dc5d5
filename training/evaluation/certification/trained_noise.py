"""The Gaussian noise that a network was trained with, for a warning if it is certified with another one."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.errors import StreamError
from training.classifiers.any_classifier import AnyClassifier
from training.streams.open_split import open_split
from training.streams.stream import Data

__all__ = ["noise_note"]

GAUSSIAN = "gaussian"


def noise_note(name: str, classifier: AnyClassifier, sigma_grey: float, data: Data) -> str:
    """A sentence if the network's training had no Gaussian noise as strong as `sigma_grey`, or if that is unknown; else
    "". The strength of a noisy variant is that in the manifest of the variant of this name in `data`."""
    settings = classifier.about.get("settings")
    if not settings:
        return f"{name}: whether it was trained with Gaussian noise of sigma_grey={sigma_grey:g} is unknown"
    found = [*_fresh(settings), *_stored(settings.get("data", {}), data)]
    if None in found:
        return (
            f"{name}: was trained on {GAUSSIAN} variants whose strength is unknown, since {data.root} does not have "
            f"them; sigma_grey={sigma_grey:g} should be among their strengths"
        )
    strongest = max((one for one in found if one is not None), default=0.0)
    if strongest >= sigma_grey:
        return ""
    trained = f"with Gaussian noise of at most {strongest:g} grey levels" if strongest else "without Gaussian noise"
    return (
        f"warning: sigma_grey={sigma_grey:g}, but {name} was trained {trained}; expect many abstentions and small radii"
    )


def _fresh(settings: Mapping[str, Any]) -> Iterator[float]:
    """Of noise that is drawn anew for each image."""
    for part in ("augmentation", "objective"):
        noise = (settings.get(part) or {}).get("noise")
        if noise and GAUSSIAN in noise.get("kinds", [GAUSSIAN]):
            yield float(noise["std_grey"])


def _stored(trained: Mapping[str, Any], data: Data) -> Iterator[float | None]:
    """Of noisy variants; None where it is unknown."""
    for variant in trained.get("mixture", {}):
        if variant.partition("-")[0] == GAUSSIAN:
            try:
                opened = open_split(data.root, data.geometry, data.size_px, [variant], "train")
            except StreamError:
                yield None
                continue
            noise = opened.variants[variant].manifest.fingerprint.get("noise")
            yield noise.get("std_grey") if isinstance(noise, dict) else None
