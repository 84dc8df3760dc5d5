"""What is fuzzed: each kind makes an input from a random generator, shows it to the code, and judges the outcome."""

import io
import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from mutations import ODD_TEXTS, mutate_bytes, mutate_json
from PIL import Image as PillowImage

sys.path.insert(0, str(Path(__file__).parents[1] / "reference"))

import fake_gtsrb
import published_formats
import untrained_gans
from small_datasets import Small

from pipelines.datasets import Cifar10, Gtsrb, ImageSource, Mnist, Svhn
from pipelines.datasets.decoding import MAX_PIXELS, UnreadableImageError, decode
from pipelines.datasets.extraction import extract_safely
from pipelines.errors import RoadsignError
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import Settings, load, to_yaml
from training.classifiers.settings import TrainClassifier
from training.classifiers.trained import Classifier
from training.evaluation.robustness.settings import Evaluation
from training.executors.adversarial_datasets import AdversarialDatasets
from training.gans.settings import TrainGan
from training.gans.trained import TrainedGan
from training.streams.stream import Data, open_stream

__all__ = ["KINDS", "Kind", "WrongError"]

CONF = Path(__file__).parents[2] / "conf"
CPU = torch.device("cpu")
ACCEPTED, REFUSED = "accepted", "refused"


class WrongError(Exception):
    """The code accepted an input and made something else of it."""


class Kind:
    """`share` of all inputs. `try_one` raises WrongError; every other exception is a violation too."""

    share: ClassVar[float]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def try_one(self, rng: np.random.Generator) -> str:
        """What became of one input."""
        raise NotImplementedError


def outcome(do: Callable[[], object], check: Callable[[Any], None] | None = None) -> str:
    """`check` raises WrongError for a result that must not be accepted."""
    try:
        result = do()
    except (RoadsignError, UnreadableImageError) as error:
        if not str(error).strip() or "MemoryError" in str(error):
            raise WrongError(f"refused with the message {error!s:.200}") from error
        return REFUSED
    if check:
        check(result)
    return ACCEPTED


class Images(Kind):
    """Image files of every format and mode that the decoder takes, whole and damaged."""

    share = 0.4
    formats = (
        ("PNG", "RGB"), ("PNG", "L"), ("PNG", "P"), ("PNG", "1"), ("PNG", "I;16"), ("PNG", "RGBA"), ("PNG", "LA"),
        ("PPM", "RGB"), ("PPM", "L"), ("PPM", "1"), ("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("BMP", "RGB"),
        ("BMP", "L"), ("BMP", "P"), ("WEBP", "RGB"), ("TIFF", "RGB"), ("GIF", "P"),
    )  # fmt: skip

    def try_one(self, rng: np.random.Generator) -> str:
        file_format, mode = self.formats[int(rng.integers(len(self.formats)))]
        pixels = rng.integers(0, 256, (*rng.integers(1, 41, 2), 3), dtype=np.uint8)
        image = PillowImage.fromarray(pixels[:, :, 0].astype(np.uint16) * 257 if mode == "I;16" else pixels)
        image = image if mode == "I;16" else image.convert(mode)
        file = io.BytesIO()
        image.save(file, file_format)
        whole = rng.random() < 0.1
        data = file.getvalue() if whole else mutate_bytes(file.getvalue(), rng)
        channels = 3 if rng.integers(2) else 1

        def check(found: Any) -> None:
            if found.dtype != np.uint8 or found.ndim != 3 or found.shape[2] != channels or found.size > 3 * MAX_PIXELS:
                raise WrongError(f"{found.dtype} {found.shape} of a {file_format}")
            exact = whole and mode == "RGB" and channels == 3 and file_format in ("PNG", "PPM", "BMP")
            if exact and not np.array_equal(found, pixels):
                raise WrongError(f"other pixels than in the {file_format}")

        return outcome(lambda: decode(data, channels), check)


class Annotations(Kind):
    """GTSRB's tables, changed."""

    share = 0.06

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.images = fake_gtsrb.make_images(frames=2)
        fake_gtsrb.write_official(folder, self.images)
        self.tables = sorted(folder.rglob("*.csv"))
        self.contents = {table: table.read_bytes() for table in self.tables}
        self.labels = {image.image_id: image.label for image in self.images}

    def try_one(self, rng: np.random.Generator) -> str:
        table = self.tables[int(rng.integers(len(self.tables)))]
        table.write_bytes(mutate_bytes(self.contents[table], rng))
        try:
            return outcome(lambda: Gtsrb(root=self.folder, allow_missing_classes=True).listing(), self._check)
        finally:
            table.write_bytes(self.contents[table])

    def _check(self, listing: Any) -> None:
        for image in listing.images:
            if image.split == "train" and self.labels.get(image.image_id) != image.label:
                raise WrongError(f"{image.image_id} has the label {image.label}")
        if len(listing.images) + len(listing.rejected) < len(self.images):
            raise WrongError(f"{len(listing.images)} images and {len(listing.rejected)} rejected of {len(self.images)}")


class Archives(Kind):
    """Zips, damaged or with hostile names, unpacked and listed."""

    share = 0.06
    names = (
        "a.txt", "b/c.txt", "../x", "/etc/x", "a/../../x", "\\x", "a\0b", "é", "a" * 300, ".", " ", "a/", "CON",
        "GTSRB/Final_Test/Images/1.ppm",
    )  # fmt: skip

    def try_one(self, rng: np.random.Generator) -> str:
        archive, target = self.folder / "a.zip", self.folder / "out" / "inner"
        shutil.rmtree(self.folder, ignore_errors=True)
        target.parent.mkdir(parents=True)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if rng.integers(2) else zipfile.ZIP_STORED) as opened:
            for _ in range(int(rng.integers(1, 5))):
                name = self.names[int(rng.integers(len(self.names)))]
                opened.writestr(name, rng.bytes(int(rng.integers(200))))
        data = buffer.getvalue()
        archive.write_bytes(data if rng.random() < 0.2 else mutate_bytes(data, rng))

        def check(_: object) -> None:
            outside = [path for path in self.folder.rglob("*") if path.is_file() and target not in path.parents]
            if outside != [archive]:
                raise WrongError(f"wrote {outside}")

        return outcome(lambda: extract_safely(archive, target), check)


class SettingsFiles(Kind):
    """Settings of five jobs: odd overrides, and files that were changed."""

    share = 0.14
    jobs: ClassVar[dict[str, type[Settings]]] = {
        "make_noisy_datasets": NoisyDatasets, "train_classifier": TrainClassifier, "train_gan": TrainGan,
        "make_adversarial_datasets": AdversarialDatasets, "evaluate_classifiers": Evaluation,
    }  # fmt: skip

    keys = (
        "data.root", "model.kind", "augmentation.noise", "gan.latent", "noise.gaussian.levels.max.std_grey", "x", "",
        "a.b.c",
    )  # fmt: skip

    def try_one(self, rng: np.random.Generator) -> str:
        name = sorted(self.jobs)[int(rng.integers(len(self.jobs)))]
        settings_type, defaults = self.jobs[name], CONF / f"{name}.yaml"
        keys = [*settings_type.model_fields, *self.keys]
        overrides = [] if name == "make_noisy_datasets" else ["data.root=x"]
        for _ in range(int(rng.integers(0, 3))):
            key, value = (some[int(rng.integers(len(some)))] for some in (keys, ODD_TEXTS))
            overrides.append(f"{key}={value}")
        config = defaults
        if rng.integers(2):
            config = self.folder / "own.yaml"
            config.write_bytes(mutate_bytes(defaults.read_bytes(), rng))

        def check(settings: Any) -> None:
            again = self.folder / "again.yaml"
            again.write_text(to_yaml(settings))
            if load(settings_type, again, (), defaults) != settings:
                raise WrongError(f"{overrides}: other settings when they are read again")

        return outcome(lambda: load(settings_type, config, overrides, defaults), check)


class Stored(Kind):
    """A data set whose files are changed after they were written; what a stream still accepts must be the same."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        Small({"train": [[5, 4], [3]], "test": [[4]]}, ("clean", "gaussian-max"), 4).write(folder)
        self.files = sorted(folder.rglob(self.pattern))
        self.contents = {path: path.read_bytes() for path in self.files}
        self.expected = self._read(False)

    pattern: ClassVar[str]

    def changed(self, data: bytes, rng: np.random.Generator) -> bytes:
        return mutate_bytes(data, rng)

    def try_one(self, rng: np.random.Generator) -> str:
        path = self.files[int(rng.integers(len(self.files)))]
        path.write_bytes(self.changed(self.contents[path], rng))

        def check(found: Any) -> None:
            if found != self.expected:
                raise WrongError(f"other rows of {path.relative_to(self.folder)}")

        try:
            return outcome(lambda: self._read(bool(rng.integers(2))), check)
        finally:
            path.write_bytes(self.contents[path])

    def _read(self, verify: bool) -> list[tuple[list[str], list[int], bytes]]:
        mixture = {"clean": 0.5, "gaussian-max": 0.5}
        data = Data(root=str(self.folder), size_px=4, mixture=mixture, verify=verify, pool="dummy")
        batches = open_stream(data, "train", seed=0, batch_size=5).epoch(0)
        return [(batch.image_ids, batch.labels.tolist(), batch.images.numpy().tobytes()) for batch in batches]


class Parquet(Stored):
    share = 0.12
    pattern = "split=train/*.parquet"

    def changed(self, data: bytes, rng: np.random.Generator) -> bytes:
        """Mostly of the same length, as other lengths are refused before anything is read."""
        found = mutate_bytes(data, rng)
        return found if rng.random() < 0.2 else (found + bytes(len(data)))[: len(data)]


class Manifests(Stored):
    share = 0.08
    pattern = "_manifest.json"

    def changed(self, data: bytes, rng: np.random.Generator) -> bytes:
        if rng.random() < 0.3:
            return mutate_bytes(data, rng)
        return json.dumps(mutate_json(json.loads(data), rng)).encode()


class Models(Kind):
    """Files of classifiers and generators."""

    share = 0.06

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        untrained_gans.classifier().write(folder / "classifier.pt")
        untrained_gans.gan().write(folder / "gan.pt")
        self.contents = {name: (folder / name).read_bytes() for name in ("classifier.pt", "gan.pt")}
        self.digests = {"classifier.pt": untrained_gans.classifier().digest, "gan.pt": untrained_gans.gan().digest}

    def try_one(self, rng: np.random.Generator) -> str:
        name = ("classifier.pt", "gan.pt")[int(rng.integers(2))]
        path = self.folder / "changed.pt"
        path.write_bytes(mutate_bytes(self.contents[name], rng))
        read = Classifier.read if name == "classifier.pt" else TrainedGan.read

        def check(found: Any) -> None:
            if found.digest != self.digests[name]:
                raise WrongError("other weights")

        return outcome(lambda: read(path, CPU), check)


class Containers(Kind):
    """The files of MNIST, CIFAR-10 and SVHN, changed, listed and opened."""

    share = 0.08

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        published_formats.write_mnist(folder / "mnist", {"train": [0, 1, 2], "t10k": [3, 4]}, zipped=False)
        published_formats.write_cifar10(folder / "cifar10" / "cifar-10-batches-py", 2)
        published_formats.write_svhn(folder / "svhn", {"train": [1, 2, 10], "test": [3, 4]}, compressed=False)
        self.sources: list[ImageSource] = [
            Mnist(root=folder / "mnist"), Cifar10(root=folder / "cifar10"), Svhn(root=folder / "svhn"),
        ]  # fmt: skip
        self.files = [sorted(path for path in source.root.rglob("*") if path.is_file()) for source in self.sources]
        self.contents = {path: path.read_bytes() for files in self.files for path in files}

    def try_one(self, rng: np.random.Generator) -> str:
        number = int(rng.integers(len(self.sources)))
        source, path = self.sources[number], self.files[number][int(rng.integers(len(self.files[number])))]
        path.write_bytes(mutate_bytes(self.contents[path], rng))

        def read() -> None:
            for image in source.listing().images:
                location = image.location
                images = source.open_container(location.path)
                if images.dtype != np.uint8 or images.ndim != 4:
                    raise WrongError(f"images of {images.dtype} {images.shape}")

        try:
            return outcome(read)
        finally:
            path.write_bytes(self.contents[path])


KINDS: dict[str, type[Kind]] = {
    "images": Images, "annotations": Annotations, "archives": Archives, "settings": SettingsFiles, "parquet": Parquet,
    "manifests": Manifests, "models": Models, "containers": Containers,
}  # fmt: skip
