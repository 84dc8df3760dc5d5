"""The strength of each noise, and the ladder that thresholds are found on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from pipelines.noise import NOISES, Noise, generator
from pipelines.render.noisy_datasets import levels_of

MENUS = Path(__file__).parents[3] / "conf" / "noise"


def menu(*names: str) -> dict[str, Noise]:
    return {
        variant: noise
        for name in names
        for variant, noise in levels_of(OmegaConf.to_container(OmegaConf.load(MENUS / f"{name}.yaml"))).items()
    }


def others(noise: Noise) -> dict[str, Any]:
    return noise.model_dump(exclude=set(noise.strength_keys))


def changed(noise: Noise) -> float:
    """The mean change of a grey ramp, in grey levels."""
    image = np.broadcast_to(np.arange(40, 200, 4, dtype=np.uint8)[:, None, None], (40, 40, 3)).copy()
    noisy = noise(image, generator(0, noise.kind, "test/0"))
    return float(np.abs(noisy.astype(int) - image).mean())


@pytest.mark.parametrize("kind", NOISES)
def test_a_stronger_level_has_a_larger_strength_and_changes_more(kind: str) -> None:
    levels = [noise for noise in menu("paper", "proposal", "held_out").values() if noise.kind == kind]
    first = [noise for noise in levels if others(noise) == others(levels[0])]
    assert len(first) == 3
    strengths = [noise.strength.value for noise in first]
    assert strengths == sorted(set(strengths))
    changes = [changed(noise) for noise in first]
    assert changes == sorted(set(changes))
    assert len({noise.strength.unit for noise in levels}) == 1


def test_strengths_are_in_their_units() -> None:
    noises = menu("paper", "readings")
    assert noises["gaussian-max"].strength == (50.0, "grey levels", "standard deviation")
    assert noises["periodic-avg"].strength == (25.0, "grey levels", "amplitude")
    assert noises["periodic-max_30grey_10px"].strength.value == 30.0
    assert noises["periodic-avg"].strength.text == "amplitude 25 grey levels"
    assert noises["gaussian-max"].strength.axis == "standard deviation, grey levels"
    assert menu("proposal")["patches-avg"].strength.text == "patches 2"
    assert noises["salt_pepper-max"].strength.value == pytest.approx(0.4)
    assert noises["salt_pepper-max_probability"].strength.value == pytest.approx(40.0)


def test_the_ladder_continues_the_papers_levels_and_repeats_none() -> None:
    paper, ladder = menu("paper"), menu("ladder")
    for kind in ("gaussian", "periodic", "salt_pepper"):
        both = [noise for noise in (*paper.values(), *ladder.values()) if noise.kind == kind]
        assert all(others(noise) == others(both[0]) for noise in both)
        strengths = [noise.strength.value for noise in both]
        assert len(set(strengths)) == len(strengths) >= 13
        assert max(strengths) >= 2 * max(noise.strength.value for noise in paper.values() if noise.kind == kind)
