"""Synthetic road signs of the 43 GTSRB classes in GTSRB's layout, for use without a download."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from pipelines.datasets.contract import ImageSource
from pipelines.datasets.gtsrb import Gtsrb
from pipelines.datasets.gtsrb_card import DRAWN_STAMP, SYNTHETIC_SIGNS_CARD
from pipelines.datasets.listing import Listing
from pipelines.datasets.synthetic_drawing import SIGNS
from pipelines.datasets.synthetic_tracks import (
    FRAMES_PER_TRACK,
    SignToDraw,
    draw_all,
    write_annotations,
    write_parameters,
)
from pipelines.errors import SourceError
from pipelines.local_paths import read_path
from pipelines.settings import LocalPath

__all__ = ["SyntheticSigns"]

DRAWING_VERSION = 2
"""Raise it with every change that affects pixels, so that older folders are drawn again."""
PARAMETERS = "synthetic_signs.csv"
"""The table of what each image was drawn with."""
TEST_ORDER = 2
"""The kind of the random generator; the others are in synthetic_tracks."""


class SyntheticSigns(ImageSource):
    """Draws `tracks_per_class` physical signs of each class, 30 frames each, for train, and a separate sign for each
    test image; the parameters of each image are in a table beside them. The same settings give the same bytes in every
    file. A `root` that is given without any of them is taken as it was drawn."""

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
        training, test = (folder / name / "Images" for name in ("Final_Training", "Final_Test"))
        class_folders = [training / f"{class_id:05d}" for class_id in range(len(SIGNS))]
        for created in (*class_folders, test):
            created.mkdir(parents=True)
        tracks = [
            SignToDraw(class_folder, class_id, track, True, self.drawing_seed)
            for class_id, class_folder in enumerate(class_folders)
            for track in range(self.tracks_per_class)
        ]
        class_ids = np.repeat(np.arange(len(SIGNS)), self.test_images_per_class)
        np.random.default_rng([TEST_ORDER, self.drawing_seed]).shuffle(class_ids)
        singles = [
            SignToDraw(test, class_id, number, False, self.drawing_seed)
            for number, class_id in enumerate(class_ids.tolist())
        ]
        drawn = draw_all([*tracks, *singles])
        for class_folder in class_folders:
            images = [image for image in drawn if image.path.parent == class_folder]
            write_annotations(class_folder / f"GT-{class_folder.name}.csv", images)
        write_annotations(test / "GT-final_test.csv", drawn[-len(singles) :])
        write_parameters(folder / PARAMETERS, drawn)
