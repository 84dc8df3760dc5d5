"""The figure of the label smoothness over the layers of a network."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pipelines.store.atomic_file import atomic_file

__all__ = ["save_smoothness", "smoothness_curves"]

MAX_CURVES = 5


def smoothness_curves(history: Sequence[Mapping[str, float]], title: str) -> Figure:
    """σ at each layer, in the order of the network: the mean over the batches of an epoch, for at most five epochs
    from the first to the last. `history` has one mapping from layer to σ for each epoch."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    chosen = np.unique(np.linspace(0, len(history) - 1, MAX_CURVES).round().astype(int))
    for shade, epoch in zip(np.linspace(0.75, 0.0, len(chosen)), chosen, strict=True):
        sigmas = history[epoch]
        axis.plot(range(len(sigmas)), list(sigmas.values()), "o-", color=str(shade), label=f"epoch {epoch + 1}")
    layers = list(history[0])
    axis.set_xticks(range(len(layers)), layers, rotation=45, ha="right")
    axis.set(title=title, xlabel="layer", ylabel="label smoothness σ of a batch")
    axis.set_ylim(bottom=0)
    axis.grid(color="0.92")
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def save_smoothness(history: Sequence[Mapping[str, float]], title: str, path: Path) -> Path:
    with atomic_file(path) as partial:
        smoothness_curves(history, title).savefig(partial, dpi=150, format="png")
    return path
