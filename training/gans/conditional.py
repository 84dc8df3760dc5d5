from typing import ClassVar, Literal

from torch import nn

from training.gans.contract import GanArchitecture
from training.gans.perceptrons import PerceptronDiscriminator, PerceptronGenerator


class Conditional(GanArchitecture):
    """The paper's conditional GAN: its networks (Figures 6 and 7), with an embedding of the class, of as many numbers
    as there are classes, joined to the noise and to the image (M. Mirza, S. Osindero, "Conditional generative
    adversarial nets", 2014). The paper does not print separate layers for it."""

    kind: ClassVar[str] = "conditional"
    conditional: Literal[True] = True
    loss: Literal["bce", "least_squares", "relativistic"] = "bce"

    def make_generator(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        return PerceptronGenerator(size_px, self.latent.shape(size_px), num_classes, channels)

    def make_discriminator(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        return PerceptronDiscriminator(size_px, num_classes, channels, self.verdict)
