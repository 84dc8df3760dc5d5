from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from training.attacks.contract import MinimalPerturbation
from training.attacks.gradients import fooled, logits_of
from training.attacks.labelled_images import Draws, LabelledImages
from training.models.margins import log_odds

DIFFERENTIAL_WEIGHT = 0.5
COLOUR_MEAN, COLOUR_STD = 128 / 255, 127 / 255


class OnePixel(MinimalPerturbation):
    """Changes at most `pixels` pixels, found by differential evolution (Su et al. 2019, section III.C).

    As in the paper: a candidate is (row, column, red, green, blue) for each pixel, initially uniform in position and
    normal N(128, 127) in colour; a child is a + 0.5 (b − c) of three different candidates, without crossover, and
    replaces its parent if the label becomes less probable. The search for an image ends with the first candidate that
    is predicted wrongly. The paper does not say how values outside of the image and of the colour range are handled:
    here they are mirrored. Nor does the paper stop before the last generation; here the search for an image stops when
    all its candidates are equally bad, that is, when the standard deviation of their log odds is below `give_up` times
    the gap that the best one still has to close.

    All candidates of all remaining images go through the network together, `images_per_pass` at a time."""

    kind: ClassVar[str] = "one_pixel"
    budget: ClassVar[str | None] = "pixels"
    needs_gradients: ClassVar[bool] = False
    pixels: int = Field(default=1, ge=1)
    population: int = Field(default=400, ge=4)
    generations: int = Field(default=100, ge=0)
    give_up: float = Field(default=0.05, ge=0, lt=1, description="0: never stops early; larger values stop sooner")
    images_per_pass: int = Field(default=128, ge=1, description="bounds the memory; affects only the last bits")

    def perturb(self, network: nn.Module, examples: LabelledImages) -> torch.Tensor:
        result = examples.images.clone()
        with torch.no_grad():
            rows = (~fooled(logits_of(network, examples.images, examples), examples.labels)).nonzero().flatten()
            examples, draws = examples.at(rows), Draws.of(examples.at(rows), self.kind)
            parents = self._first(draws)
            fitness = torch.full(parents.shape[:2], -torch.inf, device=parents.device)
            children = parents
            for generation in range(self.generations + 1):
                if not len(rows):
                    break
                if generation:
                    children = _children(parents, draws)
                found, is_fooled = self._evaluate(network, examples, children)
                done = is_fooled.any(1)
                winners = torch.where(is_fooled, found, -torch.inf)[done].argmax(1)
                result[rows[done]] = _painted(examples.images[done], children[done, winners])
                better = found > fitness
                parents = torch.where(better[:, :, None, None], children, parents)
                fitness = torch.where(better, found, fitness)
                keep = ~done & (fitness.std(1) >= -self.give_up * fitness.amax(1))
                rows, examples, draws = rows[keep], examples.at(keep), draws.at(keep)
                parents, fitness = parents[keep], fitness[keep]
        return result

    def _first(self, draws: Draws) -> torch.Tensor:
        """(N, population, pixels, 5) in [0, 1]."""
        places = draws.uniform(self.population, self.pixels, 2)
        colours = COLOUR_MEAN + COLOUR_STD * draws.normal(self.population, self.pixels, 3)
        return torch.cat([places, colours.clamp_(0, 1)], dim=3)

    def _evaluate(
        self, network: nn.Module, examples: LabelledImages, candidates: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The log odds against the label, and whether the prediction differs from it: both (N, population)."""
        owners = torch.arange(len(examples), device=candidates.device).repeat_interleave(self.population)
        flat = candidates.flatten(0, 1)
        odds, wrong = [], []
        for start in range(0, len(owners), self.images_per_pass):
            some = slice(start, start + self.images_per_pass)
            chosen = examples.at(owners[some])
            logits = logits_of(network, _painted(chosen.images, flat[some]), chosen)
            odds.append(log_odds(logits, chosen.labels))
            wrong.append(fooled(logits, chosen.labels))
        shape = (len(examples), self.population)
        return torch.cat(odds).view(shape), torch.cat(wrong).view(shape)


def _children(parents: torch.Tensor, draws: Draws) -> torch.Tensor:
    """a + 0.5 (b − c), mirrored into [0, 1]; a, b and c are three different candidates of the population."""
    count = parents.shape[1]
    drawn = draws.uniform(count, 3)
    first = _below(count, drawn[:, :, 0])
    second = 1 + _below(count - 1, drawn[:, :, 1])
    third = 1 + _below(count - 2, drawn[:, :, 2])
    third = third + (third >= second).long()
    images = torch.arange(len(parents), device=parents.device)[:, None]
    a, b, c = (parents[images, (first + offset) % count] for offset in (0, second, third))
    return 1 - (1 - (a + DIFFERENTIAL_WEIGHT * (b - c)).abs()).abs()


def _below(count: int, uniform: torch.Tensor) -> torch.Tensor:
    return (uniform * count).long().clamp_(max=count - 1)


def _painted(images: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """Writes the pixels of `candidates` (N, pixels, 5) into `images` in place, and returns it."""
    height, width = images.shape[2:]
    owners = torch.arange(len(images), device=images.device)
    for pixel in candidates.unbind(1):  # one after another: at the same position the later one wins
        images[owners, :, _below(height, pixel[:, 0]), _below(width, pixel[:, 1])] = pixel[:, 2:]
    return images
