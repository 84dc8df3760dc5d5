import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from training.attacks.balls import per_image
from training.attacks.contract import FixedStrength
from training.attacks.gradients import fooled, logits_of
from training.attacks.labelled_images import Draws, LabelledImages
from training.attacks.square_proposals import NUMBERS, SQUARES
from training.models.margins import margin

HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Numbers of queries, out of 10,000, after which the area of the squares is halved (section 4)."""
DRAWN_AT_ONCE = 64


class Square(FixedStrength):
    """Random search that uses only the logits (Andriushchenko et al. 2020, algorithms 1 to 3).

    It starts with vertical stripes of ±eps per channel, in L2 with a grid of tiles; each query changes a square at a
    random position and keeps the change if the margin grows. A square initially covers `first_fraction` of the image's
    area, and less in the paper's steps, which are scaled to the number of queries. Images that are fooled, or predicted
    wrongly from the start, are not attacked any further; the others get the point of largest margin."""

    kind: ClassVar[str] = "square"
    needs_gradients: ClassVar[bool] = False
    queries: int = Field(default=5000, ge=1)
    first_fraction: float = Field(default=0.8, gt=0, le=1)

    def perturb(self, network: nn.Module, examples: LabelledImages, eps: torch.Tensor) -> torch.Tensor:
        result = examples.images.clone()
        squares = SQUARES[self.norm]
        with torch.no_grad():
            robust = ~fooled(logits_of(network, result, examples), examples.labels)
            rows = (robust & (eps > 0)).nonzero().flatten()
            examples, eps = examples.at(rows), eps[rows]
            draws = Draws.of(examples, self.kind)
            points = squares.first(examples.images, eps, draws)
            margins = torch.full_like(eps, -math.inf)
            drawn = draws.uniform(DRAWN_AT_ONCE, NUMBERS)
            for query in range(self.queries):
                if not len(rows):
                    break
                turn = query % DRAWN_AT_ONCE
                if query and turn == 0:
                    drawn = draws.uniform(DRAWN_AT_ONCE, NUMBERS)
                candidates = points
                if query:
                    candidates = squares.moved(points, examples.images, eps, self._fraction(query - 1), drawn[:, turn])
                logits = logits_of(network, candidates, examples)
                found, done = margin(logits, examples.labels), fooled(logits, examples.labels)
                better = found > margins
                margins = torch.where(better, found, margins)
                points = torch.where(per_image(better), candidates, points)
                result[rows[done]] = candidates[done]
                if done.any():
                    rows, eps, points, margins = rows[~done], eps[~done], points[~done], margins[~done]
                    examples, draws, drawn = examples.at(~done), draws.at(~done), drawn[~done]
            result[rows] = points
        return result

    def _fraction(self, change: int) -> float:
        """The share of the image's area that the square of this change covers; changes are counted from 0."""
        halvings = sum(change * 10_000 // self.queries > limit for limit in HALVED_AT)
        return math.ldexp(self.first_fraction, -halvings)
