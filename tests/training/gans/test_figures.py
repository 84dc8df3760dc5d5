from pathlib import Path

import numpy as np
import torch
from PIL import Image

from training.gans.figures import animate, draw_grid, loss_curves


def test_a_grid_has_every_image_in_its_place(tmp_path: Path) -> None:
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with Image.open(draw_grid(images, 3, tmp_path / "new" / "grid.png")) as grid:
        pixels = np.asarray(grid)
    assert pixels.shape == (2 * 50 + 2, 3 * 50 + 2, 3)  # 8 px drawn six times as large, and gaps of 2
    for number in range(5):
        top, left = 2 + number // 3 * 50, 2 + number % 3 * 50
        cell = pixels[top : top + 48 : 6, left : left + 48 : 6]
        assert np.array_equal(cell, (images[number] * 255).round().byte().permute(1, 2, 0).numpy())
    assert (pixels[52:, 102:] == 255).all()


def test_a_grid_has_its_caption_above_and_the_names_of_rows_on_their_left(tmp_path: Path) -> None:
    images = torch.zeros(6, 1, 8, 8)
    plain, named = (
        np.asarray(Image.open(draw_grid(images, 3, tmp_path / f"{len(given)}.png", *given)))
        for given in ((), ("step 5", ["stop", "", "give way"]))
    )
    assert plain.shape == (2 * 50 + 2, 3 * 50 + 2, 3)
    above, left = named.shape[0] - plain.shape[0], named.shape[1] - plain.shape[1]
    assert np.array_equal(named[above:, left:], plain)
    assert (named[:above] < 128).any()
    thirds = [(named[above + part * 34 : above + part * 34 + 34, :left] < 128).any() for part in range(3)]
    assert thirds == [True, False, True]


def test_images_are_smaller_in_grids_of_many_rows(tmp_path: Path) -> None:
    with Image.open(draw_grid(torch.zeros(43 * 2, 3, 32, 32), 2, tmp_path / "grid.png")) as grid:
        assert grid.size == (2 * 34 + 2, 43 * 34 + 2)


def test_an_animation_has_a_frame_per_grid_but_at_most_120(tmp_path: Path) -> None:
    grids = [draw_grid(torch.full((1, 3, 8, 8), step / 130), 1, tmp_path / f"{step}.png") for step in range(130)]
    for count, frames in ((1, 1), (3, 3), (130, 120)):
        with Image.open(animate(grids[:count], tmp_path / "grids.gif")) as animation:
            assert getattr(animation, "n_frames", 1) == frames


def test_losses_and_gradients_have_a_line_each() -> None:
    history = [
        {"step": 5, "discriminator": 1.0, "gradient_norm/generator": 0.1},
        {"step": 10, "discriminator": 0.5, "generator": 2.0, "gradient_norm/generator": 0.2},
    ]
    above, below = loss_curves(history, "title").axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in above.get_lines()}
    assert lines == {"discriminator": [[5, 1.0], [10, 0.5]], "generator": [[10, 2.0]]}
    assert [line.get_label() for line in below.get_lines()] == ["generator"]
    for axis in loss_curves(history, "title", [7]).axes:
        (collapse,) = [line for line in axis.get_lines() if str(line.get_label()).startswith("collapsed, from step 7")]
        assert collapse.get_xdata() == [7, 7]
