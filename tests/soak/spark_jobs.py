"""Jobs of Spark as victims: they make datasets on a disk or on an S3 server, or show one to a classifier."""

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import fake_gtsrb
import job_runs
from proxied import Proxied
from s3_server import Server
from victims import Victim, files_of

from pipelines.store.schema import MANIFEST_NAME

__all__ = ["AdversarialDatasets", "Evaluation", "NoisyDatasets", "NoisyDatasetsOnS3"]

JOBS = Path(__file__).parents[2] / "jobs"
OF_DISKS = ("full disk", "read-only folder")
OF_SPARK = (
    "driver -9", "driver -15", "driver -2", "java -9", "java -15", "java -2", "python worker -9", "python worker -15",
    "python worker -2", "two at once",
)  # fmt: skip


class NoisyDatasets(Victim):
    name = "make_noisy_datasets"
    faults: ClassVar[tuple[str, ...]] = (*OF_SPARK, *OF_DISKS, "clock jump")

    def prepare(self) -> None:
        if not (self.place.inputs / "raw").exists():
            images = fake_gtsrb.make_images(frames=30, tests=60, tracks=3)
            fake_gtsrb.write_official(self.place.inputs / "raw", images)

    def command(self) -> list[str]:
        return [
            sys.executable, str(JOBS / "make_noisy_datasets.py"), f"dataset.root={self.place.inputs / 'raw'}",
            f"output_root={self.root}", *fake_gtsrb.ITS_CLASSES, "sizes_px=[8,16]",
            "variants=[clean,gaussian-max,salt_pepper-min]", "images_per_part=40", "images_per_row_group=20",
        ]  # fmt: skip

    @property
    def root(self) -> str:
        return str(self.place.out / "datasets")

    def results(self) -> list[Any]:
        """The digests of all datasets that are visible."""
        found = job_runs.digests(self.place.out / "datasets" / "gtsrb")
        return [found] if found else []

    def broken(self) -> list[str]:
        """Half a dataset, or a dataset without its manifest."""
        for root in self.place.out.glob("datasets/[!.]*"):
            try:
                job_runs.digests(root)
            except AssertionError as error:
                return [f"half a dataset is visible: {error}"]
        return []


class AdversarialDatasets(Victim):
    name = "make_adversarial_datasets"
    faults: ClassVar[tuple[str, ...]] = (*OF_SPARK, *OF_DISKS)

    def prepare(self) -> None:
        from small_attacks import classifier  # here: imports torch
        from small_datasets import Small

        classifier(size_px=16).write(self.place.inputs / "model.pt")
        Small({"test": [[20] * 2] * 3}, size_px=16).write(self.place.out / "datasets" / "signs")

    def command(self) -> list[str]:
        return [
            sys.executable, str(JOBS / "make_adversarial_datasets.py"), f"model={self.place.inputs / 'model.pt'}",
            "attack=fgsm", "snr_db=[40,33]", f"data.root={self.place.out / 'datasets' / 'signs'}",
        ]  # fmt: skip

    def results(self) -> list[Any]:
        """The digests of the datasets besides the one that was there before."""
        found = job_runs.digests(self.place.out / "datasets" / "signs")
        return [found] if len(found) > 1 else []

    broken = NoisyDatasets.broken


class Evaluation(Victim):
    """It may be run twice: it makes the same folder again."""

    name = "evaluate_classifiers"
    faults: ClassVar[tuple[str, ...]] = ("driver -9", "driver -15", "driver -2", *OF_DISKS, "two at once")

    def prepare(self) -> None:
        from small_attacks import classifier
        from small_datasets import Small

        classifier(size_px=8).write(self.place.inputs / "model8.pt")
        if not (self.place.inputs / "signs").exists():
            variants = ("clean", "gaussian-max")
            Small({"test": [[30]], "validation": [[20]]}, variants, size_px=8).write(self.place.inputs / "signs")

    def command(self) -> list[str]:
        return [
            sys.executable, str(JOBS / "evaluate_classifiers.py"), f"models={self.place.inputs / 'model8.pt'}",
            f"data.root={self.place.inputs / 'signs'}", "device=cpu", "output_root=evaluations",
        ]  # fmt: skip

    def results(self) -> list[Any]:
        """The rows of each table."""
        found = sorted(self.place.out.glob("evaluations/[!.]*/evaluation.csv"))
        return [list(csv.reader(path.open())) for path in found]


class NoisyDatasetsOnS3(NoisyDatasets):
    """The server keeps its objects in memory: each fault has a folder of its own in the bucket."""

    name = "make_noisy_datasets to S3"
    faults: ClassVar[tuple[str, ...]] = (
        "driver -9", "driver -15", "driver -2", "java -9", "python worker -9", "two at once", "slow connection",
        "dropped connection",
    )  # fmt: skip
    number = -1

    def prepare_again(self) -> None:
        import s3fs  # type: ignore[import-untyped]

        from pipelines.places import read_place

        self.server = Server()
        self.proxy = Proxied(self.server.url)
        os.environ.update(self.environment() | {"AWS_ENDPOINT_URL": self.server.url})
        s3fs.S3FileSystem.clear_instance_cache()
        read_place("s3://bucket/x").fs.mkdir("bucket")  # type: ignore[union-attr]

    def close(self) -> None:
        self.proxy.stop()
        self.server.kill()

    def begin(self, number: int) -> None:
        self.number = number

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.proxy.url, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip

    @property
    def root(self) -> str:
        return f"s3://bucket/{self.number}"

    def _objects(self) -> dict[str, str]:
        """The text of each manifest and lease, and "" for other objects."""
        from pipelines.places import below, read_place

        place = read_place(f"{self.root}/gtsrb")
        texts = (MANIFEST_NAME, "_lease.")
        return {
            name: (place / name).read_text() if any(text in name for text in texts) else "" for name in below(place)
        }

    def results(self) -> list[Any]:
        found = {
            name: json.loads(text)["content_digest"] for name, text in self._objects().items() if "_manifest" in name
        }
        return [found] if found else []

    def broken(self) -> list[str]:
        """A manifest that names objects that are not there."""
        objects = self._objects()
        return [
            f"half a dataset is visible: {name} names {part['path']}"
            for name, text in objects.items() if MANIFEST_NAME in name
            for part in json.loads(text)["parts"] if f"{name.rpartition('/')[0]}/{part['path']}" not in objects
        ]  # fmt: skip

    def files(self) -> dict[str, int]:
        objects = [name for name in self._objects() if "_lease." not in name]
        return {**files_of(self.place.out), "objects": len(objects)}

    def before_again(self) -> None:
        """The lease of a killed job lasts a minute; here it ends at once."""
        from pipelines.places import read_place

        self.proxy.mend()
        for name in self._objects():
            if "_lease." in name:
                (read_place(f"{self.root}/gtsrb") / name).write_text('{"owner": "the killed run", "expires": 0}')

    def end(self) -> None:
        self.proxy.mend()
