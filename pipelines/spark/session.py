"""The Spark session of every job: local[*] unless spark-submit, --master or spark-defaults say otherwise."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from pipelines.spark.environment import SparkError, check_environment, check_master, check_worker_python
from pipelines.store.writer import cause_of

__all__ = ["distribute", "java_encoding", "started"]

QUICK_START = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Python does the work of these jobs; Java would optimize its own code for longer than the optimized code saves."""


@contextmanager
def started(name: str) -> Iterator[SparkSession]:
    """A session whose Python workers use the driver's interpreter, with progress on the console; stopped at the end.

    PYSPARK_PYTHON takes precedence, for executors with another environment. Raises SparkError."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    logging.getLogger().addFilter(_not_of_ctrl_c)
    spark = _start(name)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # Spark's own would call Java concurrently
    try:
        yield spark
    except (PySparkException, Py4JError) as error:
        raise SparkError(f"Spark has failed: {cause_of(error)}") from error
    finally:
        _stop(spark)


def _start(name: str) -> SparkSession:
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # otherwise spark-submit has started Java
        check_environment()
        os.environ.setdefault("SPARK_SUBMIT_OPTS", QUICK_START)
        if os.environ.get("LC_ALL") in ("C", "POSIX"):  # Java would read and write paths in ASCII
            os.environ["LC_ALL"] = "C.UTF-8"
    builder: SparkSession.Builder = SparkSession.builder
    try:
        SparkContext._ensure_initialized()  # starts Java, which reads the settings of spark-submit and spark-defaults
        master = SparkConf().get("spark.master") or "local[*]"
        check_master(master)
        check_worker_python(master)
        return (
            builder.appName(name)
            .config("spark.ui.showConsoleProgress", "true")
            .config("spark.log.level", "ERROR")
            .config("spark.sql.execution.arrow.pyspark.enabled", "true")
            .config("spark.sql.execution.arrow.maxRecordsPerBatch", "1000")
            .getOrCreate()
        )
    except (PySparkException, Py4JError, OSError, ValueError) as error:
        why = cause_of(error)
        if "JAVA_GATEWAY_EXITED" in why:
            why = "Java has ended immediately, see its output above; check PYSPARK_SUBMIT_ARGS and spark-defaults.conf"
        raise SparkError(f"Spark cannot be started: {why}") from error


def _not_of_ctrl_c(record: logging.LogRecord) -> bool:
    """Py4J logs a traceback of the KeyboardInterrupt that it raises, but the job reports it in one line."""
    return record.getMessage() != "KeyboardInterrupt while sending command."


def _stop(spark: SparkSession) -> None:
    try:
        spark.stop()
    except (Py4JError, OSError):  # Java has ended already
        return


def java_encoding() -> str:
    """The encoding of paths and arguments, from Java's locale. Starts Java unless spark-submit has started it."""
    SparkContext._ensure_initialized()
    assert SparkContext._jvm is not None
    return str(SparkContext._jvm.java.lang.System.getProperty("sun.jnu.encoding"))


def distribute(name: str, processes: int, use_gpu: bool, train: Callable[..., None], *arguments: object) -> None:
    """Calls `train` in `processes` slots of the cluster that spark-submit uses, which start and end together and are
    torch ranks."""
    from pyspark.ml.torch.distributor import TorchDistributor  # here: other jobs need not spend seconds on the import

    with started(name):
        TorchDistributor(processes, local_mode=False, use_gpu=use_gpu).run(train, *arguments)
