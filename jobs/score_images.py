"""Predict the classes of unlabelled images.

    spark-submit jobs/score_images.py model=… images=… output=… [--config FILE] [--dry-run] [key=value …]

The settings and their defaults are in conf/score_images.yaml.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from pyspark.sql import SparkSession

from pipelines.console import make_console
from pipelines.job.run import run_job
from pipelines.settings import parse_arguments, to_yaml
from pipelines.spark import session
from pipelines.spark.scores import Scoring, Summary, refuse_strangers, write_scores
from pipelines.spark.scoring import ListedImages, ScoreImages, list_images
from pipelines.store.provenance import made_by
from training.classifiers.any_classifier import AnyClassifier
from training.classifiers.opening import open_models, unlabelled
from training.executors.shipped import ShippedClassifier
from training.tracking import FoundModel

CONFIG = Path(__file__).parents[1] / "conf" / "score_images.yaml"


def score(
    spark: SparkSession, settings: ScoreImages, found: FoundModel, classifier: AnyClassifier, listed: ListedImages
) -> Summary:
    shape, geometry = classifier.shape, settings.geometry_for(classifier.geometry)
    scoring = Scoring(geometry, shape.size_px, shape.channels, settings.noisy_above_std_grey)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{Path(folder).name}{classifier.suffix}"  # a session accepts each name only once
        classifier.write(file)
        spark.sparkContext.addFile(str(file))
        classify = ShippedClassifier(file.name, settings.batch_size)
        return write_scores(
            listed.frame(spark, settings.partitions), classify, scoring, settings.output, listed.images,
            model={"reference": settings.model, "run": found.run_id, "digest": classifier.digest},
            settings=settings.model_dump(mode="json"),
            made_by={**made_by(), "torch": str(torch.__version__)},
        )  # fmt: skip


def run(arguments: Sequence[str]) -> None:
    console = make_console()
    settings, dry_run = parse_arguments(ScoreImages, CONFIG, __doc__ or "", arguments)
    refuse_strangers(settings.output)
    images = unlabelled(str(settings.images), settings.size_px)
    (model,) = open_models([settings.model], torch.device("cpu"), images, console)
    found, classifier = model
    settings.check_size(classifier.shape.size_px)
    settings.geometry_for(classifier.geometry)
    listed = list_images(settings.images, classifier.shape.size_px, classifier.shape.channels)
    console.print(f"{settings.images}: {listed.sentence()}")
    if dry_run:
        console.print(to_yaml(settings))
        console.print("dry run: nothing was made")
        return
    with session.started("score_images") as spark:
        summary = score(spark, settings, found, classifier, listed)
    console.print(f"{settings.output}: {summary.sentence()}")


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
