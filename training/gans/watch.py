"""Detects known failures of GANs (proposal, points of failure) and warns while the run can still be stopped."""

from collections.abc import Mapping

import torch
from pydantic import Field

from pipelines.settings import Settings

__all__ = ["Watch", "Watcher", "duplicate_rate"]


class Watch(Settings):
    """Thresholds. A player's gradient has vanished if its norm was below `vanished_norm` at `checks` consecutive
    checks. The generator has collapsed if, at step `from_step` or later, more than `duplicates` of the sample grid have
    another image of their class within `same_rms`, the root mean square difference on the scale of [0, 1]."""

    vanished_norm: float = Field(default=1e-5, ge=0, allow_inf_nan=False)
    checks: int = Field(default=50, ge=1)
    duplicates: float = Field(default=0.5, ge=0, le=1)
    same_rms: float = Field(default=0.02, ge=0, allow_inf_nan=False)
    from_step: int = Field(default=500, ge=0, description="before this step, all samples may still be the same grey")


class Watcher:
    """Gives each warning once until its cause has ended."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.below: dict[str, int] = {}
        """For each player, the number of consecutive checks at which its gradient was too small."""
        self.collapsed = False
        self.collapses: list[int] = []
        """The steps at which the generator was found to have collapsed."""

    def gradients(self, norms: Mapping[str, float]) -> list[str]:
        """Warnings after the gradient norms of one check, by player."""
        said = []
        for player, norm in norms.items():
            self.below[player] = self.below.get(player, 0) + 1 if norm < self.watch.vanished_norm else 0
            if self.below[player] == self.watch.checks:
                said.append(
                    f"the {player}'s gradient has vanished: its norm was below {self.watch.vanished_norm:g} at "
                    f"{self.watch.checks} checks in a row; try another seed, a lower lr, or gan=wgan_gp"
                )
        return said

    def samples(self, rate: float, step: int) -> list[str]:
        """Warnings after the duplicate rate of a sample grid."""
        collapsed = rate > self.watch.duplicates and step >= self.watch.from_step
        newly = collapsed and not self.collapsed
        self.collapsed = collapsed
        self.collapses += [step] if newly else []
        return [f"the generator has collapsed: {rate:.0%} of its samples are duplicates of others"] if newly else []

    def state(self) -> dict[str, object]:
        return {"below": dict(self.below), "collapsed": self.collapsed, "collapses": list(self.collapses)}

    def load_state(self, state: Mapping[str, object]) -> None:
        below, self.collapsed = state["below"], bool(state["collapsed"])
        collapses = state.get("collapses", [])  # older states have none
        assert isinstance(below, dict) and isinstance(collapses, list)
        self.below = dict(below)
        self.collapses = list(collapses)


def duplicate_rate(images: torch.Tensor, labels: torch.Tensor, same_rms: float) -> float:
    """The share of images (N, 3, S, S) in [0, 1] that have another image of the same label (N,) within `same_rms`."""
    values = images.flatten(1).double()
    distances = torch.cdist(values, values) / values.shape[1] ** 0.5
    others = (labels[:, None] == labels[None]) & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return float(((distances < same_rms) & others).any(1).double().mean())
