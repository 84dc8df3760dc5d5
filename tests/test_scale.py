"""The simulated cluster of benchmarks/scale.py, against closed forms."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).parents[1] / "benchmarks" / "scale.py"


@pytest.fixture(scope="module")
def scale() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks_scale", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_without_failures_and_spread_tasks_go_in_rounds(scale: ModuleType) -> None:
    """10 tasks of 4 s on 4 cores: three rounds, and 10/12 of the time is used."""
    cluster = scale.Cluster(1, spread=0.0, failures_per_executor_hour=1e-9)
    found = scale.simulate(40_000, cluster, 1.0, seed=0)
    assert found.seconds == pytest.approx(cluster.start_s + 3 * 4)
    assert (found.efficiency, found.repeated_tasks) == (pytest.approx(10 / 12), 0)


@pytest.mark.parametrize("executors", [10, 100])
def test_single_objects_are_read_no_faster_than_the_store_answers(scale: ModuleType, executors: int) -> None:
    """Whatever the number of machines."""
    found = scale.simulate(10**7, scale.Cluster(executors, failures_per_executor_hour=1e-9), 1.0, 0, gets_per_image=2)
    assert found.seconds == pytest.approx(10**7 * 2 / scale.S3_GETS_PER_S, rel=0.15)


def test_machines_that_fail_repeat_their_tasks(scale: ModuleType) -> None:
    """An hour of 40 machines that fail twice an hour repeats about the tasks of 80 failures; the work is the same."""
    calm, rough = (
        scale.simulate(10**8, scale.Cluster(40, failures_per_executor_hour=rate), 6.0, seed=1) for rate in (1e-9, 2.0)
    )
    assert calm.repeated_tasks == 0
    assert 60 < rough.repeated_tasks < 400
    assert rough.seconds > calm.seconds
    assert rough.efficiency < calm.efficiency < 1


def test_the_driver_places_every_image(scale: ModuleType) -> None:
    """The measured function is the job's own."""
    assert scale.measure_driver(1000)["seconds"] > 0
