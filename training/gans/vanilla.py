from typing import ClassVar, Literal

from torch import nn

from training.gans.contract import GanArchitecture
from training.gans.perceptrons import PerceptronDiscriminator, PerceptronGenerator


class Vanilla(GanArchitecture):
    """The paper's GAN (Figures 6 and 7), with the layers as printed; at other sizes only the outermost layers
    differ."""

    kind: ClassVar[str] = "vanilla"
    conditional: Literal[False] = False
    loss: Literal["bce", "least_squares", "relativistic"] = "bce"

    def make_generator(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        return PerceptronGenerator(size_px, self.latent.shape(size_px), num_classes, channels)

    def make_discriminator(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        return PerceptronDiscriminator(size_px, num_classes, channels, self.verdict)
