"""The light on a synthetic scene and the camera that sees it: exposure, blur, halo and noise."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

__all__ = ["Camera", "draw_camera", "exposed"]

BRIGHTNESS = (
    (0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1),
    (6, 12, 20, 26, 46, 78, 122, 185, 225, 340, 450),
)
"""Cumulative shares, and the mean grey that a sign would have without clipping. Chosen so that the mean grey of drawn
signs is distributed as that of the GTSRB's training signs."""
MEAN_REFLECTED_GREY = 108
"""Of the templates."""
MAX_CONTRAST = 4
NOISE_PX = 96


class Camera(NamedTuple):
    """`gain` multiplies the light of each channel, for the sign; the background is `backlight` times as bright.
    `flare_grey` is added everywhere. `defocus_px` and `motion_fraction` (of the sign's size, to the right and
    downwards) blur. `halo` is the strength of the sharpening. `noise_grey` is a square of noise that is laid over each
    frame at another place."""

    gain: NDArray[np.float32]
    backlight: float
    flare_grey: NDArray[np.float32]
    defocus_px: float
    motion_fraction: tuple[float, float]
    halo: float
    noise_std_grey: float
    coarse_noise_std_grey: float
    noise_grey: NDArray[np.float32]

    @property
    def sign_scale(self) -> float:
        """What the colours of the sign are multiplied by, so that a brighter background does not exceed 255."""
        return 1 / min(max(self.backlight, 1), MAX_CONTRAST)

    @property
    def background_scale(self) -> float:
        return min(self.backlight, 1)


def draw_camera(rng: np.random.Generator) -> Camera:
    wanted_grey = np.interp(rng.random(), *BRIGHTNESS)
    flare_grey = min(rng.gamma(2, 5), 0.4 * wanted_grey)
    tint = np.exp(rng.normal(0, 0.05, 3)) * (1.0, 0.985, 1.02)
    background_grey = 85 * np.exp(rng.normal(0, 0.8))
    # In the dark there is less noise, as in GTSRB.
    sensitivity = min(max(wanted_grey / 78, 0.3), 1.5)
    noise_std_grey, coarse_noise_std_grey = sensitivity * rng.uniform(0.5, 3), sensitivity * rng.exponential(1)
    motion = 0.02 if rng.random() < 0.2 else 0.004
    return Camera(
        gain=np.asarray((wanted_grey - flare_grey) / MEAN_REFLECTED_GREY * tint, np.float32),
        backlight=float(np.clip((background_grey / wanted_grey) ** 0.7 * np.exp(rng.normal(0, 0.3)), 0.2, 8)),
        flare_grey=np.asarray(flare_grey * np.exp(rng.normal(0, 0.1, 3)), np.float32),
        defocus_px=float(rng.uniform(0.1, 0.6)),
        motion_fraction=(float(rng.exponential(motion)), float(rng.exponential(motion))),
        halo=float(rng.choice([0, rng.uniform(0.3, 2)])),
        noise_std_grey=noise_std_grey,
        coarse_noise_std_grey=coarse_noise_std_grey,
        noise_grey=_noise(rng, noise_std_grey, coarse_noise_std_grey),
    )


def _noise(rng: np.random.Generator, fine_std: float, coarse_std: float) -> NDArray[np.float32]:
    """Noise of single pixels, and of 2 × 2 pixels as after the interpolation of a colour mosaic."""
    fine = rng.standard_normal((NOISE_PX, NOISE_PX, 3), dtype=np.float32) * np.float32(fine_std)
    coarse = rng.standard_normal((NOISE_PX // 2, NOISE_PX // 2, 3), dtype=np.float32) * np.float32(coarse_std)
    noise: NDArray[np.float32] = fine + coarse.repeat(2, 0).repeat(2, 1)
    return noise


def exposed(
    frame: Image.Image, shade: Image.Image, camera: Camera, exposure: float, sign_px: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The photograph of `frame`, whose sign was multiplied by camera.sign_scale. `exposure` is relative to that of the
    track."""
    right, down = (min(fraction, 0.07) * sign_px for fraction in camera.motion_fraction)
    blurred = frame.filter(ImageFilter.BoxBlur((camera.defocus_px + right, camera.defocus_px + down)))
    light = np.asarray(blurred, np.float32)
    lit = np.asarray(shade.resize(frame.size, Image.Resampling.BILINEAR), np.float32)[:, :, None]
    gain = np.float32(exposure / camera.sign_scale / 255) * camera.gain
    light = light * (lit * gain)
    light += camera.flare_grey
    if camera.halo:
        light = _sharpened(np.clip(light, 0, 255, out=light), camera.halo)
    top, left = rng.integers(0, NOISE_PX // 2, 2).tolist()
    height, width = light.shape[:2]
    noise = camera.noise_grey
    if max(top + height, left + width) > NOISE_PX:
        noise = np.tile(noise, (-(-(top + height) // NOISE_PX), -(-(left + width) // NOISE_PX), 1))
    light += noise[top : top + height, left : left + width]
    return np.clip(light, 0, 255, out=light).astype(np.uint8)


def _sharpened(light: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
    """Each value moved away from the mean of its four neighbours; the outermost values are kept."""
    inner = light[1:-1, 1:-1]
    difference = light[:-2, 1:-1] + light[2:, 1:-1]
    difference += light[1:-1, :-2]
    difference += light[1:-1, 2:]
    difference *= np.float32(-0.25 * strength)
    difference += np.float32(strength) * inner
    inner += difference
    return np.clip(light, 0, 255, out=light)
