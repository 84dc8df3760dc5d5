"""The GANs. To add one, add a file here and a line in GANS; its settings are a file in conf/gan/."""

from training.gans.adversarial import Adversarial
from training.gans.conditional import Conditional
from training.gans.contract import GanArchitecture, GeneratorLossInputs, Players
from training.gans.dcgan import Dcgan
from training.gans.r3gan_small import R3ganSmall
from training.gans.vanilla import Vanilla
from training.gans.wgan_gp import WganGp

__all__ = ["GANS", "GanArchitecture", "GeneratorLossInputs", "Players"]

GANS: dict[str, type[GanArchitecture]] = {
    "vanilla": Vanilla,
    "conditional": Conditional,
    "dcgan": Dcgan,
    "wgan_gp": WganGp,
    "r3gan_small": R3ganSmall,
    "adversarial": Adversarial,
}
