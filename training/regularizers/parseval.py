"""Parseval training: weights are kept near matrices with orthonormal rows or columns."""

from collections.abc import Callable

import numpy as np
import torch
from pydantic import Field
from torch import nn

from pipelines.errors import SettingsError
from pipelines.settings import Settings

__all__ = ["Parseval", "ParsevalStep", "matrices"]


class Parseval(Settings):
    """After each step of the optimizer W ← (1 + beta) W − beta W Wᵀ W for the weights of each convolution and dense
    layer as a matrix, one row for each output (M. Cisse et al., "Parseval networks: improving robustness to adversarial
    examples", 2017, equation 10; Parseval report, beta = 0.01). Its fixed points have singular values of 0 or 1. With
    `rows` below 1, that share of the rows is drawn in each step and changed alone (section 4.2 there).

    This certifies nothing by itself: the norm of a convolution is not that of its matrix (up to the kernel's side times
    as large), and batch norm scales again. Cisse et al. divide a convolution by the side of its kernel; the report's
    published program divides by √(2 k² + 1). Here nothing is divided. The convex sums of residual blocks are a setting
    of the model (convex_sums), whose weights are projected in the same step."""

    beta: float = Field(default=0.01, gt=0, le=0.5, description="above 0.5 the step would overshoot the fixed point")
    rows: float = Field(default=1.0, gt=0, le=1)


class ParsevalStep:
    """The hook of a player. `rows_drawn` gives the random numbers of the current step, the same on all ranks."""

    def __init__(self, parseval: Parseval, network: nn.Module, rows_drawn: Callable[[], np.random.Generator]) -> None:
        """Raises SettingsError if the network has no matrices."""
        self.parseval = parseval
        self.rows_drawn = rows_drawn
        self.weights = list(matrices(network).values())
        self.projected = [layer for layer in network.modules() if hasattr(layer, "project")]
        if not self.weights:
            raise SettingsError("parseval: the network has no convolution and no dense layer; set parseval=null")

    @torch.no_grad()
    def step(self) -> None:
        draws = self.rows_drawn() if self.parseval.rows < 1 else None
        for weight in self.weights:
            matrix = weight.reshape(len(weight), -1).clone()  # of a 1 × 1 convolution it may be a view
            rows = slice(None) if draws is None else self._drawn(draws, len(matrix), weight.device)
            chosen = matrix[rows]
            if not chosen.numel():
                continue
            matrix[rows] = (1 + self.parseval.beta) * chosen - self.parseval.beta * _cube(chosen)
            weight.copy_(matrix.view_as(weight))
        for layer in self.projected:
            layer.project()  # type: ignore[operator]

    def _drawn(self, draws: np.random.Generator, count: int, device: torch.device) -> torch.Tensor:
        return torch.from_numpy(draws.random(count) < self.parseval.rows).to(device)


def matrices(network: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of convolutions and dense layers, by the name of the layer."""
    return {name: layer.weight for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}


def _cube(matrix: torch.Tensor) -> torch.Tensor:
    """W Wᵀ W, by the smaller of the two products."""
    if matrix.shape[0] <= matrix.shape[1]:
        return (matrix @ matrix.t()) @ matrix
    return matrix @ (matrix.t() @ matrix)
