"""The Spark session of every job: local[*] unless spark-submit, --master or spark-defaults say otherwise."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

__all__ = ["started"]


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
