"""The generator of attack=gan: its file, and the attack that is opened with it on an executor."""

from functools import lru_cache
from pathlib import Path

import torch

from training.attacks import Attack, AttackError
from training.attacks.gan import Gan
from training.gans.trained import TrainedGan

__all__ = ["file_name", "read_generator", "with_generator"]


def file_name(digest: str) -> str:
    """The name of the generator's file on executors."""
    return f"{digest}.pt"


def with_generator(attack: Attack, files: Path, device: torch.device) -> Attack:
    """Opens a prepared attack with the generator's file in the folder `files`, if it needs one. Raises AttackError and
    CheckpointError."""
    if not isinstance(attack, Gan):
        return attack
    return attack.opened(_read_once(files / file_name(attack.generator), device).perturbation)


def read_generator(path: Path, device: torch.device, name: str) -> TrainedGan:
    """Raises CheckpointError, and AttackError with that name if it makes images rather than perturbations."""
    trained = TrainedGan.read(path, device)
    if trained.architecture.kind != "adversarial":
        raise AttackError(
            f"attack.generator={name} is a {trained.architecture.kind} GAN; train one with gan=adversarial"
        )
    return trained


@lru_cache(maxsize=1)
def _read_once(path: Path, device: torch.device) -> TrainedGan:
    """Read once per Python worker, which runs one task after the other."""
    return read_generator(path, device, str(path))
