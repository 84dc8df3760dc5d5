"""The Spark session of every job: local[*] unless spark-submit, --master or spark-defaults say otherwise."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

__all__ = ["distribute", "started"]


@contextmanager
def started(name: str) -> Iterator[SparkSession]:
    """A session whose Python workers run the driver's interpreter, with progress on the console; stopped at the end.

    PYSPARK_PYTHON wins where executors have their environment elsewhere.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder: SparkSession.Builder = SparkSession.builder
    spark = (
        builder.appName(name)
        .config("spark.ui.showConsoleProgress", "true")
        .config("spark.log.level", "ERROR")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "1000")
        .getOrCreate()
    )
    try:
        yield spark
    finally:
        spark.stop()


def distribute(name: str, processes: int, use_gpu: bool, train: Callable[..., None], *arguments: object) -> None:
    """Calls `train` in `processes` slots of the cluster that spark-submit names, which start and end together and are
    ranks to torch."""
    from pyspark.ml.torch.distributor import TorchDistributor  # here: seconds that all other jobs can save

    with started(name):
        TorchDistributor(processes, local_mode=False, use_gpu=use_gpu).run(train, *arguments)
