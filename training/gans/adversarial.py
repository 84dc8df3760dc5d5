from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, PlainSerializer, PlainValidator, model_validator
from torch import nn
from torch.nn.functional import softplus

from pipelines.settings import PathOrName, choose, describe
from training.gans.contract import GanArchitecture, GeneratorLossInputs
from training.gans.dcgan import DcganDiscriminator
from training.gans.latents import LATENTS, ImageToImage, Latent
from training.gans.perturber import MIN_NORM, Perturber, largest_norm
from training.models.margins import log_odds, margin

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _latent(given: object) -> Any:
    latent = given if isinstance(given, Latent) else choose(LATENTS, given)
    if not isinstance(latent, ImageToImage):
        raise ValueError(f"{latent.kind}: the adversarial generator changes images, so it must be image_to_image")
    return latent


class Adversarial(GanArchitecture):
    """A generator that takes an image and perturbs it so that a fixed `classifier` errs (C. Xiao et al., "Generating
    adversarial examples with adversarial networks", 2018): the loss that the proposal looks for.

    loss = fooling_weight · L_fooling + gan_weight · L_gan + hinge_weight · L_hinge. L_fooling, on the classifier's
    logits z, is max(0, z_y − max_{k≠y} z_k + confidence) of Carlini and Wagner, or with objective="cross_entropy"
    −log(1 − p_y). With a `target` t it is the same with t in place of y and the opposite sign, or −log p_t. L_hinge is
    max(0, ‖δ‖₂ / r − hinge_from), where r is the largest norm that is allowed.

    The perturbation of each image is bounded by construction: by `eps`, in L∞ on the scale of [0, 1], or by `snr_db`,
    where ‖δ‖₂ < r = ‖x‖₂ / 10^(SNR/20) as in training.attacks; then the sum of image and perturbation is clipped to [0,
    1]."""

    kind: ClassVar[str] = "adversarial"
    min_size_px: ClassVar[int] = 8
    generator_parts: ClassVar[tuple[str, ...]] = ("fooling", "gan", "hinge", "fooled")
    conditional: Literal[False] = False
    latent: Annotated[Latent, PlainValidator(_latent), PlainSerializer(describe)] = ImageToImage()
    loss: Literal["bce", "least_squares"] = "least_squares"
    classifier: PathOrName = "latest"
    eps: float | None = Field(default=None, gt=0, le=1)
    snr_db: float | None = Field(default=None, allow_inf_nan=False)
    target: int | None = Field(default=None, ge=0)
    objective: Literal["carlini_wagner", "cross_entropy"] = "carlini_wagner"
    confidence: Weight = 0.0
    fooling_weight: Weight = 10.0
    gan_weight: Weight = 1.0
    hinge_weight: Weight = 1.0
    hinge_from: float = Field(default=0.5, ge=0, le=1)
    channels: int = Field(default=32, ge=1, description="channels of the discriminator's layer next to the image")

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.eps is None) == (self.snr_db is None):
            raise ValueError("adversarial needs gan.snr_db=33 or gan.eps=0.03, one of the two")
        return self

    @property
    def fools(self) -> str | None:
        return self.classifier

    def make_generator(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        return Perturber(size_px, self.eps, self.snr_db)

    def make_discriminator(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        return DcganDiscriminator(size_px, 0, channels, self.channels, not self.spectral_norm, self.verdict)

    def generator_losses(self, seen: GeneratorLossInputs) -> dict[str, torch.Tensor]:
        assert seen.classifier is not None, "a classifier to fool"
        begun, made = (images.add(1).div(2) for images in (seen.latent, seen.made))
        logits = seen.classifier(made).float()
        fooling, fooled = self._fooling(logits, seen.labels)
        gan = self.losses.generator(seen.values)
        radius = largest_norm(begun, self.eps, self.snr_db)
        norms = torch.linalg.vector_norm(made - begun, dim=(1, 2, 3))
        hinge = (norms / radius.clamp(min=MIN_NORM) - self.hinge_from).clamp(min=0)
        total = self.fooling_weight * fooling + self.gan_weight * gan + self.hinge_weight * hinge
        return {"generator": total, "fooling": fooling, "gan": gan, "hinge": hinge, "fooled": fooled.float()}

    def _fooling(self, logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Losses (N,), and where the classifier errs as intended."""
        wanted = labels if self.target is None else torch.full_like(labels, self.target)
        sign = -1 if self.target is None else 1
        fooled = (logits.argmax(1) == wanted) == (self.target is not None)
        if self.objective == "cross_entropy":
            return softplus(sign * log_odds(logits, wanted)), fooled
        return (sign * margin(logits, wanted) + self.confidence).clamp(min=0), fooled
