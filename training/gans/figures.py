"""Figures of a GAN in training: samples of the same latents, and the losses of both players."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from training.evaluation.classifiers.figures import save
from training.evaluation.classifiers.files import replacing

__all__ = ["animate", "draw_grid", "loss_curves", "save_losses"]

GAP_PX = 2
CELL_PX, SMALL_CELL_PX, MANY_ROWS = 48, 32, 20
"""The side of an image that is aimed at; the smaller one in grids of many rows."""
FONT_PX, INK = 12, (51, 51, 51)
FRAME_MS, LAST_FRAME_MS = 150, 2000
MAX_FRAMES = 120
COLORS = {"generator": "#d95f02", "discriminator": "#1b6ca8", "penalty": "#1b9e77", "r1": "#1b9e77", "r2": "#7570b3"}


def draw_grid(images: torch.Tensor, columns: int, path: Path, caption: str = "", row_names: Sequence[str] = ()) -> Path:
    """(N, C, S, S) in [0, 1], of one channel or three, as PNG, row by row, each pixel enlarged by a whole factor. The
    caption is above them, a row's name on its left."""
    pixels = images.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    with replacing(path) as partial:
        _captioned(_tiled(pixels, columns), caption, row_names).save(partial, format="PNG")
    return path


def animate(grids: Sequence[Path], path: Path) -> Path:
    """Grids as an animated GIF, the last one shown longest; at most 120, evenly chosen."""
    chosen = [grids[place] for place in np.unique(np.linspace(0, len(grids) - 1, MAX_FRAMES).round().astype(int))]
    frames = []
    for grid in chosen:
        with Image.open(grid) as image:
            frames.append(image.convert("P", palette=Image.Palette.ADAPTIVE))
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS]
    with replacing(path) as partial:
        frames[0].save(partial, format="GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return path


def loss_curves(history: Sequence[Mapping[str, float]], title: str, collapses: Sequence[int] = ()) -> Figure:
    """The losses of both players over the steps (paper, Figure 15), and the norms of their gradients; lines at the
    steps at which the generator was found to have collapsed."""
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    figure.suptitle(title)
    above, below = figure.subplots(2, 1, sharex=True)
    names = dict.fromkeys(name for checked in history for name in checked if name != "step")
    for name in names:
        points = [(checked["step"], checked[name]) for checked in history if name in checked]
        of_gradient = name.startswith("gradient_norm/")
        label = name.removeprefix("gradient_norm/")
        axis, color = below if of_gradient else above, COLORS.get(label)
        axis.plot(*zip(*points, strict=True), linewidth=0.9, label=label, color=color)
    above.set(ylabel="loss")
    below.set(ylabel="norm of the gradient", xlabel="step", yscale="log")
    for axis in (above, below):
        for number, step in enumerate(collapses):
            said = f"collapsed, from step {step:,}" if number == 0 else None
            axis.axvline(step, color="#b2182b", linestyle="--", linewidth=1.2, label=said)
        axis.legend(loc="upper right", fontsize=8)
        axis.grid(color="0.92")
    return figure


def save_losses(history: Sequence[Mapping[str, float]], title: str, collapses: Sequence[int], path: Path) -> Path:
    return save(loss_curves(history, title, collapses), path)


def _captioned(tiles: NDArray[np.uint8], caption: str, row_names: Sequence[str]) -> Image.Image:
    font = ImageFont.load_default(FONT_PX)
    left = max((math.ceil(font.getlength(name)) + 2 * FONT_PX for name in row_names), default=0)
    above = 2 * FONT_PX if caption else 0
    width = max(left + tiles.shape[1], math.ceil(font.getlength(caption)) + FONT_PX)
    picture = Image.new("RGB", (width, above + tiles.shape[0]), "white")
    picture.paste(Image.fromarray(tiles), (left, above))
    draw = ImageDraw.Draw(picture)
    draw.text((FONT_PX / 2, above / 2), caption, INK, font, anchor="lm")
    height = (tiles.shape[0] - GAP_PX) / max(len(row_names), 1)
    for row, name in enumerate(row_names):
        draw.text((left - FONT_PX / 2, above + GAP_PX / 2 + (row + 0.5) * height), name, INK, font, anchor="rm")
    return picture


def _tiled(pixels: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """(N, S, S, 1 or 3) → one image, with white gaps."""
    rows = -(-len(pixels) // columns)
    scale = max(1, round((SMALL_CELL_PX if rows > MANY_ROWS else CELL_PX) / pixels.shape[1]))
    cells = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    side = cells.shape[1] + GAP_PX
    canvas = np.full((rows * side + GAP_PX, columns * side + GAP_PX, 3), 255, np.uint8)
    for number, cell in enumerate(cells):
        top, left = GAP_PX + number // columns * side, GAP_PX + number % columns * side
        canvas[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return canvas
