"""A profile of what a classifier was trained on: a small table that remains when the images are gone, for comparison
with new images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from pipelines.settings import Settings
from pipelines.store.schema import CLEAN
from training.classifiers.trained import Classifier
from training.evaluation.classifiers.files import replacing
from training.retraining.drift.measures import Drift, Floats, Images, Report
from training.retraining.drift.training_images import ProfileError, Sign, TrainingImages, open_training_images
from training.streams.order import Integers
from training.streams.stream import Data

__all__ = ["PROFILE", "SCHEMA", "About", "Profile", "compare", "new_images"]

PROFILE = "profile.parquet"
"""The file name of the profile of a run."""
ABOUT = b"roadsign_profile"
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("digest", pa.uint64(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("track", pa.string(), nullable=False),
        pa.field("size_px", pa.int32(), nullable=False),
        pa.field("channels", pa.list_(pa.float32())),
        pa.field("features", pa.list_(pa.float32())),
    ]
)
"""The schema of Profile.table: a row for each training image in order of their ids, with the columns of measures.Images
and training_images.TrainingImages. channels and features are null except in the sample, one image of each of a limited
number of tracks."""


class About(Settings):
    """`model` is the digest of the weights, `dataset` the content digest of the clean variant."""

    version: Literal[1] = 1
    model: str
    dataset: str
    geometry: str
    size_px: int


@dataclass(frozen=True)
class Profile:
    about: About
    table: pa.Table

    @classmethod
    def of(
        cls,
        classifier: Classifier,
        data: Data,
        signs: Mapping[str, Sign],
        device: torch.device,
        seed: int = 0,
        sampled: int = 1000,
    ) -> "Profile":
        """The profile of a classifier and the dataset that it was trained on. It describes the clean images, whatever
        the mixture.

        Raises ProfileError if it is another dataset or not all images are among `signs`, StreamError, and
        EvaluationError if the classifier has no features."""
        _check_size(classifier, data)
        source = open_training_images(data)
        dataset = source.variants[CLEAN].manifest.content_digest
        if classifier.about.get("datasets", {}).get(CLEAN, dataset) != dataset:
            raise ProfileError(
                f"{data.root}: is no longer the dataset that this model was trained on; make profiles right after "
                "the training"
            )
        images = TrainingImages.read(data, source, signs)
        everyone = np.arange(len(images.image_ids))
        rows = images.one_of_each_track(everyone, sampled, np.random.default_rng(seed))
        about = About(model=classifier.digest, dataset=dataset, geometry=data.geometry, size_px=data.size_px)
        return cls(about, _table(images, rows, images.describe(rows, classifier, device)))

    @classmethod
    def read(cls, path: Path) -> "Profile":
        """Raises ProfileError."""
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                table = file.read()
            about = About.model_validate_json((table.schema.metadata or {}).get(ABOUT, b""))
            profile = cls(about, table.replace_schema_metadata())
            if profile.table.schema.equals(SCHEMA) and len(profile.trained_on.tracks):
                return profile
            reason = "other columns, or no image has features"
        except OSError as error:
            reason = error.strerror or str(error)
        except (pa.ArrowException, ValueError) as error:
            reason = str(error).splitlines()[0]
        raise ProfileError(f"{path}: not a profile of this version ({reason}); download it again from the model's run")

    def write(self, path: Path) -> None:
        """Written atomically. Raises EvaluationError."""
        about = {ABOUT: self.about.model_dump_json().encode()}
        with replacing(path) as partial:
            table = self.table.replace_schema_metadata(about)
            pq.write_table(table, partial, compression="zstd", write_page_checksum=True)

    @property
    def trained_on(self) -> Images:
        """The sample. Raises ValueError if its images have different numbers of features."""
        sample = self.table.filter(pc.field("features").is_valid())
        return Images(
            np.array(sample["track"].to_pylist(), np.str_),
            sample["label"].to_numpy(),
            sample["size_px"].to_numpy(),
            _matrix(sample["channels"]),
            _matrix(sample["features"]),
        )


def new_images(
    profile: Profile,
    champion: Classifier,
    data: Data,
    signs: Mapping[str, Sign],
    device: torch.device,
    *,
    at_most: int,
    seed: int,
) -> Images | None:
    """One clean training image of each of a limited number of tracks with images that the champion was not trained on:
    their id is new, or the label or pixels under a known id have changed. None if there are no such images.

    Raises ProfileError if the profile is of another model or the images are of another size or geometry, and what
    Profile.of raises."""
    _check_size(champion, data)
    _check_profile(profile, champion, data)
    source = open_training_images(data)
    if source.variants[CLEAN].manifest.content_digest == profile.about.dataset:
        return None
    images = TrainingImages.read(data, source, signs)
    new = np.flatnonzero(~np.isin(images.digests, profile.table["digest"].to_numpy()))
    if not len(new):
        return None
    rows = images.one_of_each_track(new, at_most, np.random.default_rng(seed))
    return images.describe(rows, champion, device)


def compare(
    drift: Drift,
    profile: Profile,
    champion: Classifier,
    data: Data,
    signs: Mapping[str, Sign],
    device: torch.device,
) -> Report | None:
    """None if no image is new, or if the new images show a single sign, which is too little to compare. Raises what
    new_images and Drift.compare raise."""
    new = new_images(profile, champion, data, signs, device, at_most=drift.images, seed=drift.seed)
    return None if new is None or len(new.tracks) < 2 else drift.compare(profile.trained_on, new)


def _table(images: TrainingImages, rows: Integers, sample: Images) -> pa.Table:
    columns = (images.image_ids, images.digests, images.labels, images.tracks, images.sizes_px)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=False)]
    for matrix in (sample.channels, sample.features):
        values: list[Any] = [None] * len(images.image_ids)
        for row, of in zip(rows, matrix, strict=True):
            values[row] = of
        arrays.append(pa.array(values, pa.list_(pa.float32())))
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _matrix(column: pa.ChunkedArray) -> Floats:
    return np.stack(column.to_numpy()) if len(column) else np.empty((0, 0), np.float32)


def _check_size(classifier: Classifier, data: Data) -> None:
    if classifier.shape.size_px != data.size_px:
        raise ProfileError(
            f"the model is for images of {classifier.shape.size_px} px, not of {data.size_px} px; set "
            f"data.size_px={classifier.shape.size_px}"
        )


def _check_profile(profile: Profile, champion: Classifier, data: Data) -> None:
    if profile.about.model != champion.digest:
        raise ProfileError(
            f"the profile is of the model {profile.about.model[:12]}, not of {champion.digest[:12]}; use that of the "
            "champion's own run"
        )
    if profile.about.geometry != data.geometry:
        raise ProfileError(
            f"geometry={data.geometry}: the champion was trained on {profile.about.geometry} images, which cannot be "
            "compared with others"
        )
