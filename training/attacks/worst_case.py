import torch
from torch import nn

from training.attacks.gradients import fooled, logits_of
from training.attacks.labelled_images import LabelledImages
from training.models.margins import margin

__all__ = ["WorstCase"]


class WorstCase:
    """The adversarial image of largest margin among several for each example: the worst case for the network.

    `robust` (N,), bool: the examples that none of them has fooled yet."""

    def __init__(self, network: nn.Module, examples: LabelledImages, first: torch.Tensor) -> None:
        self._network = network
        self._examples = examples
        self.images = first.clone()
        self._margins, is_fooled = self._look(first, examples)
        self.robust = ~is_fooled

    @property
    def rows(self) -> torch.Tensor:
        """Indices of the robust examples."""
        return self.robust.nonzero().flatten()

    def take(self, rows: torch.Tensor, images: torch.Tensor) -> None:
        """Considers `images` as candidates for the examples `rows`."""
        margins, is_fooled = self._look(images, self._examples.at(rows))
        better = margins > self._margins[rows]
        self.images[rows[better]] = images[better]
        self._margins[rows[better]] = margins[better]
        self.robust[rows[is_fooled]] = False

    def _look(self, images: torch.Tensor, examples: LabelledImages) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            logits = logits_of(self._network, images, examples)
        return margin(logits, examples.labels), fooled(logits, examples.labels)
