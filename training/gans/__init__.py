"""The GANs. A new one is one file here and one line in GANS; its settings are a file of conf/gan/."""

from training.gans.adversarial import Adversarial
from training.gans.conditional import Conditional
from training.gans.contract import GanArchitecture, Players, Seen
from training.gans.dcgan import Dcgan
from training.gans.vanilla import Vanilla
from training.gans.wgan_gp import WganGp

__all__ = ["GANS", "GanArchitecture", "Players", "Seen"]

GANS: dict[str, type[GanArchitecture]] = {
    "vanilla": Vanilla,
    "conditional": Conditional,
    "dcgan": Dcgan,
    "wgan_gp": WganGp,
    "adversarial": Adversarial,
}
