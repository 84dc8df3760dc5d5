"""The files of ImageNet weights that torchvision publishes."""

import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

import torch

from pipelines.errors import SettingsError
from training.models import MODELS, Model

__all__ = ["imagenet_file"]

GIVEN = "model.weights=imagenet"


def imagenet_file(model: Model) -> Path:
    """The file of torchvision's ImageNet weights for this model in the folder of torch.hub, downloaded if it is not
    there yet. Raises SettingsError if there are none, if it cannot be downloaded, or if the file is not the published
    one: its name ends with the beginning of its SHA-256."""
    if not model.imagenet_weights:
        others = ", ".join(kind for kind, member in MODELS.items() if member.imagenet_weights)
        raise SettingsError(
            f"{GIVEN}: torchvision has none for {model.kind}, but for {others}; or give a file of weights"
        )
    from torchvision.models import get_weight

    url = get_weight(model.imagenet_weights).url
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
    begins = re.findall(r"-([0-9a-f]+)\.", file.name)[-1]
    if not file.is_file():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), begins, progress=False)
        except (OSError, RuntimeError) as error:
            raise SettingsError(
                f"{GIVEN}: {url} cannot be downloaded ({error}); download it elsewhere and put it at {file}"
            ) from None
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if not digest.startswith(begins):
        raise SettingsError(f"{GIVEN}: {file}: its SHA-256 is {digest}, expected {begins}…; remove the file")
    return file
