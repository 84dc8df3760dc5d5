"""CPU, memory, GPU and network from MLflow's collectors, logged like other metrics."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

from training.tracking.spool import TrackingError

__all__ = ["sampled"]

LogMetrics = Callable[[Mapping[str, float], int], None]
PREFIX = "system/"
"""Names with this prefix are shown in a tab of their own in MLflow's UI."""


@contextlib.contextmanager
def sampled(log_metrics: LogMetrics, every_s: float) -> Iterator[None]:
    """Logs a sample at the start and then every `every_s` seconds; its step is the time in seconds, so that a resumed
    run continues the curve. Does nothing if `every_s` is 0."""
    if not every_s:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_sample, args=(log_metrics, every_s, ended), name="system metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _sample(log_metrics: LogMetrics, every_s: float, ended: threading.Event) -> None:
    monitors = _monitors()
    while True:
        values: dict[str, float] = {}
        for monitor in monitors:
            monitor.collect_metrics()
            values |= monitor.aggregate_metrics()
            monitor.clear_metrics()
        try:
            log_metrics({PREFIX + name: value for name, value in values.items()}, int(time.time()))
        except TrackingError as error:
            logging.getLogger(__name__).warning("warning: system metrics have stopped: %s", error)
            return
        if ended.wait(every_s):
            return


def _monitors() -> list[BaseMetricsMonitor]:
    monitors = [CPUMonitor(), NetworkMonitor()]
    with contextlib.suppress(RuntimeError, ImportError):  # no GPU here
        monitors.append(GPUMonitor())
    return monitors
