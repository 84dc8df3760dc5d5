"""The attacks. To add one, add a file here and a line in ATTACKS. Imported by objectives, executors and evaluation;
imports models alone.

Attacks of fixed strength take (network, examples, strengths), attacks that seek the smallest perturbation take
(network, examples). Both work in pixel space, since the first layer of the network normalizes."""

from training.attacks.apgd import Apgd
from training.attacks.contract import Attack, FixedStrength, MinimalPerturbation
from training.attacks.deepfool import Deepfool
from training.attacks.ensemble import Ensemble
from training.attacks.fgsm import Fgsm
from training.attacks.gan import Gan
from training.attacks.labelled_images import AttackError, LabelledImages
from training.attacks.one_pixel import OnePixel
from training.attacks.pgd import Pgd
from training.attacks.snr import Attacked, Eps, SnrDb, Strength
from training.attacks.square import Square
from training.attacks.universal import Universal

__all__ = [
    "ATTACKS",
    "Attack",
    "AttackError",
    "Attacked",
    "Eps",
    "FixedStrength",
    "LabelledImages",
    "MinimalPerturbation",
    "SnrDb",
    "Strength",
]  # fmt: skip

ATTACKS: dict[str, type[Attack]] = {
    "fgsm": Fgsm,
    "pgd": Pgd,
    "apgd": Apgd,
    "square": Square,
    "universal": Universal,
    "ensemble": Ensemble,
    "deepfool": Deepfool,
    "one_pixel": OnePixel,
    "gan": Gan,
}
