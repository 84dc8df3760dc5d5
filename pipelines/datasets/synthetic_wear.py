"""What differs between two signs of one class: making, fading, dirt, stickers, shade, and what hangs before them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageStat

from pipelines.datasets.synthetic_background import texture
from pipelines.datasets.synthetic_drawing import COLOURS, Colour, Making

__all__ = ["Wear", "draw_making", "draw_shade", "draw_wear"]

SHADE_PX = 32
TEXTURE_PX = 40
FADED: dict[str, Colour] = {"red": (214, 112, 80), "blue": (72, 128, 200), "yellow": (232, 200, 110)}
DEEP: dict[str, Colour] = {"red": (126, 8, 22), "blue": (8, 26, 92), "yellow": (212, 120, 6)}


class Wear(NamedTuple):
    """What covers a sign: RGBA of any size, which is stretched over it, the share of that square that something hides,
    and the mean opacity of the dirt."""

    cover: Image.Image
    occluded_share: float
    dirt_share: float


def draw_making(rng: np.random.Generator) -> Making:
    """A random form and size of the pictogram, and paint between deep and faded; one sign in eight is much faded."""
    fading = rng.uniform(0.4, 1) if rng.random() < 0.12 else rng.uniform(-1, 0.35)
    towards = FADED if fading > 0 else DEEP
    colours: dict[str, Colour] = {}
    for name, colour in COLOURS.items():
        goal = np.array(towards.get(name, colour))
        mixed = np.array(colour) + abs(fading) * (goal - np.array(colour))
        colours[name] = _paint(mixed + rng.normal(0, 5, 3))
    colours["grey"] = _paint(rng.uniform(20, 140) + rng.normal(0, 4, 3))
    colours["black"] = _paint(rng.uniform(8, 48) + rng.normal(0, 3, 3))
    return Making(
        form=int(rng.integers(0, 12)),
        scale=float(rng.normal(1, 0.035)),
        offset=complex(rng.normal(0, 0.8), rng.normal(0, 0.8)),
        boldness=float(np.exp(rng.normal(0, 0.1))),
        rim=float(rng.uniform(0.8, 1.2)),
        colours=colours,
    )


def _paint(values: NDArray[np.float64]) -> Colour:
    red, green, blue = np.clip(values, 0, 255).astype(int).tolist()
    return red, green, blue


def draw_wear(rng: np.random.Generator, side_px: int) -> Wear:
    """Dirt on two signs in five, a sticker on one in twelve, a branch or post before one in twelve."""
    cover = Image.new("RGBA", (side_px, side_px))
    if rng.random() < 0.4:
        grime = texture(rng, int(rng.integers(3, 16)), TEXTURE_PX)[:, :, 0] * rng.uniform(20, 60) - 10
        mask = Image.fromarray(np.clip(grime, 0, 140).astype(np.uint8)).resize((side_px, side_px))
        cover.paste(Image.new("RGBA", cover.size, _paint(rng.uniform(20, 150) + rng.normal(0, 10, 3))), (0, 0))
        cover.putalpha(mask)
    dirt_share = ImageStat.Stat(cover).mean[3] / 255
    draw = ImageDraw.Draw(cover)
    if rng.random() < 0.08:
        middle, angle = rng.uniform(0.2, 0.8, 2) * side_px, rng.uniform(0, 2 * np.pi)
        along = np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(0.03, 0.1) * side_px
        across = along[::-1] * (-1, 1) * rng.uniform(0.3, 1)
        corners = [middle + along + across, middle + along - across, middle - along - across, middle - along + across]
        draw.polygon([(x, y) for x, y in np.array(corners).tolist()], (*_paint(rng.uniform(0, 255, 3)), 255))
    if rng.random() < 0.08:
        for _ in range(int(rng.integers(1, 5))):
            ends, bend = rng.uniform(-0.2, 1.2, (2, 2)) * side_px, rng.normal(0, 0.1, 2) * side_px
            points = np.array([ends[0], ends.mean(axis=0) + bend, ends[1]]).tolist()
            colour = (*_paint(rng.uniform(10, 110) + rng.normal(0, 12, 3)), 255)
            draw.line([(x, y) for x, y in points], colour, int(side_px * rng.uniform(0.01, 0.08)), "curve")
    hidden = cover.getchannel("A").point([0] * 255 + [1])
    return Wear(cover, ImageStat.Stat(hidden).mean[0], dirt_share)


def draw_shade(rng: np.random.Generator) -> Image.Image:
    """The share of the light at each place of the frame, 255 for all of it: the edge of a cast shadow, the dapple of
    leaves, or a slope; SHADE_PX square."""
    kind = rng.random()
    if kind < 0.5:
        ramp = np.linspace(-1, 1, SHADE_PX)
        slope = rng.normal(0, 0.1, 2)
        return _mask(0.88 + slope[0] * ramp[None, :] + slope[1] * ramp[:, None])
    depth = rng.uniform(0.25, 0.8)
    if kind < 0.75:
        angle, place = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4)
        ramp = np.linspace(-0.5, 0.5, SHADE_PX)
        side = np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None] - place
        lit = np.clip(0.5 + side * rng.uniform(4, 30), 0, 1)
    else:
        lit = np.clip(0.5 + rng.uniform(0.5, 2.5) * texture(rng, int(rng.integers(3, 9)), SHADE_PX)[:, :, 0], 0, 1)
    return _mask(1 - depth * (1 - lit)).filter(ImageFilter.BoxBlur(0.5))


def _mask(share: NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(np.clip(255 * share, 0, 255).astype(np.uint8))
