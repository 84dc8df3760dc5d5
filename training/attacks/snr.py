"""The strength of a perturbation: requested as eps or as signal-to-noise ratio, and measured on each image."""

import math
from dataclasses import dataclass

import torch

from training.attacks.labelled_images import AttackError

__all__ = ["Attacked", "Eps", "Meter", "SnrDb", "Strength"]


@dataclass(frozen=True)
class Eps:
    """The radius of the ball, in the attack's norm, on the scale of [0, 1]; the same for all images."""

    eps: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.eps) and self.eps >= 0):
            raise AttackError(f"eps={self.eps}: expected a finite number of at least 0, e.g. {8 / 255:.4f}")


@dataclass(frozen=True)
class SnrDb:
    """20 log₁₀(‖x‖₂ / ‖δ‖₂) of each image (Parseval report, equation 2), in decibels."""

    snr_db: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.snr_db):
            raise AttackError(f"snr_db={self.snr_db}: expected a finite number of decibels, e.g. 33")

    def noise_norm(self, signal_norm: torch.Tensor) -> torch.Tensor:
        """‖δ‖₂ at this ratio."""
        return signal_norm / 10 ** (self.snr_db / 20)


Strength = Eps | SnrDb


@dataclass(frozen=True)
class Attacked:
    """Adversarial `images` (N, 3, S, S), float32 in [0, 1], and their signal-to-noise ratios (N,), float64, decibels.

    `snr_db_before_clamp` is that of the perturbation before clipping to [0, 1], `snr_db` that of `images`,
    `snr_db_uint8` that after rounding to 256 grey levels. `snr_db_asked` is NaN if no ratio was requested. A ratio is
    infinite if nothing was added, and NaN if nothing was added to a black image."""

    images: torch.Tensor
    snr_db_asked: torch.Tensor
    snr_db_before_clamp: torch.Tensor
    snr_db: torch.Tensor
    snr_db_uint8: torch.Tensor

    @property
    def kept(self) -> torch.Tensor:
        """Images (N,), bool, that the attack could not or did not have to change. For FGSM these are the images without
        a ratio (all black) and those whose gradient is zero everywhere."""
        return ~(self.snr_db < math.inf)


class Meter:
    """Measures perturbations of `images` in pixel space, or if `std` (1, 3, 1, 1) is given in units of it."""

    def __init__(
        self, images: torch.Tensor, signal: torch.Tensor | None = None, std: torch.Tensor | None = None
    ) -> None:
        """`signal` are the images in the space in which their norm is taken; by default `images`."""
        self.images = images
        self.signal_norm = _norms(images if signal is None else signal)
        self._std = std

    def measure(self, attacked: torch.Tensor, unclamped: torch.Tensor, strength: Strength | None) -> Attacked:
        asked = strength.snr_db if isinstance(strength, SnrDb) else math.nan
        rounded = (attacked * 255).round_().div_(255)
        after = self._snr_db(attacked)
        return Attacked(
            images=attacked,
            snr_db_asked=torch.full_like(self.signal_norm, asked),
            snr_db_before_clamp=after if unclamped is attacked else self._snr_db(unclamped),
            snr_db=after,
            snr_db_uint8=self._snr_db(rounded),
        )

    def noise_norms(self, noise: torch.Tensor) -> torch.Tensor:
        """‖·‖₂ of each perturbation (N,), float64; the sum is in float32, which is accurate to 0.00001 dB."""
        return _norms(noise if self._std is None else noise / self._std)

    def _snr_db(self, perturbed: torch.Tensor) -> torch.Tensor:
        return 20 * torch.log10(self.signal_norm / self.noise_norms(perturbed - self.images))


def _norms(values: torch.Tensor) -> torch.Tensor:
    norms: torch.Tensor = torch.linalg.vector_norm(values, dim=(1, 2, 3))  # flattening channels_last would copy
    return norms.double()
