"""Synthetic road signs of the 43 GTSRB classes in GTSRB's layout, for use without a download."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from pipelines.datasets.contract import ImageSource
from pipelines.datasets.gtsrb import Gtsrb
from pipelines.datasets.gtsrb_card import DRAWN_STAMP, SYNTHETIC_SIGNS_CARD
from pipelines.datasets.listing import Listing
from pipelines.datasets.synthetic_drawing import SIGNS, Template, draw_template
from pipelines.datasets.synthetic_frame import Photograph, draw_scene, photograph
from pipelines.errors import SourceError
from pipelines.local_paths import read_path
from pipelines.settings import LocalPath

__all__ = ["SyntheticSigns"]

DRAWING_VERSION = 1
"""Raise it with every change that affects pixels, so that older folders are drawn again."""
FRAMES_PER_TRACK = 30
CSV_HEADER = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"
TRACKS, TEST_IMAGES, TEST_ORDER = range(3)
"""The kinds of random generators; see `_generator`."""


class _NamedPhotograph(NamedTuple):
    name: str
    photograph: Photograph
    class_id: int


class SyntheticSigns(ImageSource):
    """Draws `tracks_per_class` physical signs of each class, 30 frames each, for train, and a separate sign for each
    test image. The same settings give the same bytes in every file. A `root` that is given without any of them is taken
    as it was drawn."""

    kind: Literal["synthetic_signs"] = "synthetic_signs"
    root: LocalPath = Path("data/raw/synthetic_signs")
    tracks_per_class: int = Field(default=2, ge=2, le=100_000)  # validation is split off by track
    test_images_per_class: int = Field(default=10, ge=1, le=2_000)  # file names have five digits
    drawing_seed: int = Field(default=0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _as_it_was_drawn(cls, given: Any) -> Any:
        """Without this, `dataset.root=<drawn folder>` would replace signs of another seed by the default ones."""
        if not isinstance(given, dict) or given.get("root") is None or given.keys() - {"kind", "root"}:
            return given
        try:
            drawn = json.loads((read_path(given["root"]) / DRAWN_STAMP).read_bytes())
            return {**{name: drawn[name] for name in cls.model_fields.keys() & drawn.keys()}, **given}
        except (OSError, ValueError, TypeError, AttributeError):  # no stamp, or a damaged one: drawn anew
            return given

    @property
    def dataset_name(self) -> str:
        return SYNTHETIC_SIGNS_CARD.name

    def ensure(self) -> Path:
        """Returns `root` after drawing the data set there, unless it exists with the same settings.

        Raises SourceError if `root` contains something other than a synthetic data set, or cannot be written.
        """
        root = self.root.resolve()
        try:
            if self._is_needed_at(root):
                self._replace(root)
        except OSError as error:
            raise SourceError(
                f"{self.root}: cannot write the synthetic signs: {error}; choose another dataset.root"
            ) from error
        return self.root

    def listing(self) -> Listing:
        """Every image, after drawing the data set if it does not exist. Raises SourceError."""
        drawn = Gtsrb(root=self.ensure(), allow_missing_classes=True).listing()
        tracks, test_images = len(SIGNS) * self.tracks_per_class, len(SIGNS) * self.test_images_per_class
        card = SYNTHETIC_SIGNS_CARD.model_copy(
            update={
                "expected_counts": {"train": tracks * FRAMES_PER_TRACK, "test": test_images},
                "expected_groups": tracks,
            }
        )
        listing = replace(drawn, card=card, found=f"{self.root}, drawn synthetic signs (not photographs)")
        if listing.missing_classes():
            left = ", ".join(listing.remarks)
            raise SourceError(f"{self.root}: incomplete: {left}; delete the folder, and it will be drawn again")
        return listing

    @classmethod
    def recognize(cls, root: Path) -> str | None:
        return DRAWN_STAMP if (root / DRAWN_STAMP).is_file() else None

    def _stamp(self) -> str:
        values = {"drawing_version": DRAWING_VERSION, **self.model_dump(mode="json", exclude={"root"})}
        return json.dumps(values, indent=2, sort_keys=True) + "\n"

    def _is_needed_at(self, root: Path) -> bool:
        stamp = root / DRAWN_STAMP
        if stamp.is_file():
            return stamp.read_bytes() != self._stamp().encode()
        if root.exists() and not (root.is_dir() and not any(root.iterdir())):
            raise SourceError(
                f"{self.root}: exists, but without {DRAWN_STAMP}, so it is not a folder of synthetic signs and is "
                "kept; choose another dataset.root, or move the folder away"
            )
        return True

    def _replace(self, root: Path) -> None:
        partial, replaced = (root.with_name(f".{root.name}-{state}") for state in ("partial", "replaced"))
        for left_over in (partial, replaced):
            if left_over.exists():
                shutil.rmtree(left_over)
        partial.mkdir(parents=True)
        self._draw(partial)
        (partial / DRAWN_STAMP).write_bytes(self._stamp().encode())
        if root.exists():
            root.rename(replaced)
        partial.rename(root)
        if replaced.exists():
            shutil.rmtree(replaced)

    def _draw(self, folder: Path) -> None:
        templates = [draw_template(class_id) for class_id in range(len(SIGNS))]
        for class_id, template in enumerate(templates):
            class_folder = folder / "Final_Training" / "Images" / f"{class_id:05d}"
            _write(class_folder, f"GT-{class_id:05d}.csv", self._training(class_id, template))
        _write(folder / "Final_Test" / "Images", "GT-final_test.csv", self._test(templates))

    def _training(self, class_id: int, template: Template) -> Iterator[_NamedPhotograph]:
        for track in range(self.tracks_per_class):
            rng = self._generator(TRACKS, class_id, track)
            scene = draw_scene(rng)
            for frame, sign_px in enumerate(_approach(rng)):
                name = f"{track:05d}_{frame:05d}.ppm"
                yield _NamedPhotograph(name, photograph(template, scene, sign_px, rng), class_id)

    def _test(self, templates: list[Template]) -> Iterator[_NamedPhotograph]:
        class_ids = np.repeat(np.arange(len(templates)), self.test_images_per_class)
        self._generator(TEST_ORDER).shuffle(class_ids)
        for number, class_id in enumerate(class_ids.tolist()):
            rng = self._generator(TEST_IMAGES, number)
            scene, sign_px = draw_scene(rng), rng.choice(_approach(rng))
            yield _NamedPhotograph(f"{number:05d}.ppm", photograph(templates[class_id], scene, sign_px, rng), class_id)

    def _generator(self, kind: int, first: int = 0, second: int = 0) -> np.random.Generator:
        """The generator of one track or test image, so that it does not depend on what was drawn before."""
        return np.random.default_rng([kind, first, second, self.drawing_seed])


def _approach(rng: np.random.Generator) -> list[float]:
    """The sign's longer side in each frame, in pixels, as a car approaches at constant speed; few come very close."""
    first_px = rng.uniform(20, 28)
    last_px = rng.uniform(165, 185) if rng.random() < 0.08 else rng.uniform(50, 98)
    distances = np.linspace(1 / first_px, 1 / last_px, FRAMES_PER_TRACK)
    return list((1 / distances).tolist())


def _write(folder: Path, csv_name: str, photographs: Iterator[_NamedPhotograph]) -> None:
    folder.mkdir(parents=True)
    lines = [CSV_HEADER]
    for name, (image, roi), class_id in photographs:
        height, width = image.shape[:2]
        (folder / name).write_bytes(f"P6\n{width} {height}\n255\n".encode() + image.tobytes())
        lines.append(";".join(str(value) for value in (name, width, height, *roi, class_id)))
    (folder / csv_name).write_bytes("".join(f"{line}\r\n" for line in lines).encode())
