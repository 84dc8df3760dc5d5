"""The finished runs of an experiment on one HTML page, each alone and averaged over seeds."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import isfinite, sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from mlflow.entities import Run
from scipy import stats

from training.tracking.database import check_runs_in, database_of
from training.tracking.server import Server, tracking_uri
from training.tracking.spool import TrackingError

__all__ = ["ComparedRun", "compare", "finished_runs", "write_comparison"]

SEED = "seed"
NOT_TRAINED = ("runs_root", "resume", "tracking.")
"""Settings of where a run is kept, not of what is trained."""
SYSTEM = "system/"
CONFIDENCE = 0.95
RUNS_PER_CALL = 1000


class ComparedRun(NamedTuple):
    run_id: str
    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]


def finished_runs(experiment: str) -> list[ComparedRun]:
    """The newest first. Raises TrackingError if there is no store, experiment or finished run, and UnreachableError."""
    uri = tracking_uri()
    database = database_of(uri)
    if database is not None:
        check_runs_in(database)
    server = Server(uri)
    server.check()
    with server.asked():
        found = server.experiment(experiment)
        if found is None:
            names = sorted(one.name for one in server.client.search_experiments())
            raise TrackingError(f"experiment={experiment}: there is none; there are {', '.join(names)}")
        runs = [_compared(run) for run in _pages(server, found.experiment_id)]
    if not runs:
        raise TrackingError(f"experiment={experiment}: has no finished run yet; wait for one, or name another")
    return runs


def compare(runs: Sequence[ComparedRun], metric: str) -> dict[str, object]:
    """What the page shows, as JSON: each row has its name, seeds, parameters that differ, and metrics as (mean,
    standard deviation, low, high, number of seeds), of which a single seed has only the mean. Raises
    TrackingError if no run has the metric."""
    metrics = sorted({key for run in runs for key in run.metrics})
    if metric not in metrics:
        raise TrackingError(f"metric={metric}: no run has it; there are {', '.join(metrics) or 'none'}")
    differing = _differing(runs)
    groups: defaultdict[tuple[tuple[str, str], ...], list[ComparedRun]] = defaultdict(list)
    for run in runs:
        groups[tuple(sorted((key, value) for key, value in run.params.items() if key != SEED))].append(run)
    return {
        "metrics": metrics, "metric": metric, "params": differing,
        "runs": [_row([run], differing) for run in runs],
        "groups": [_row(group, [key for key in differing if key != SEED]) for group in groups.values()],
    }  # fmt: skip


def write_comparison(path: Path, title: str, comparison: Mapping[str, object]) -> None:
    environment = Environment(
        loader=PackageLoader("training.tracking", "templates"), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("comparison.html.jinja").render(title=title, comparison=comparison)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)


def _pages(server: Server, experiment_id: str) -> list[Run]:
    runs: list[Run] = []
    token = None
    while True:
        page = server.client.search_runs(
            [experiment_id], "attributes.status = 'FINISHED'", order_by=["attributes.start_time DESC"],
            max_results=RUNS_PER_CALL, page_token=token,
        )  # fmt: skip
        runs += page
        token = page.token
        if not token:
            return runs


def _compared(run: Run) -> ComparedRun:
    params = {key: value for key, value in run.data.params.items() if not key.startswith(NOT_TRAINED)}
    metrics = {
        key: value for key, value in run.data.metrics.items() if isfinite(value) and not key.startswith(SYSTEM)
    }  # fmt: skip
    return ComparedRun(run.info.run_id, run.info.run_name, params, metrics)


def _differing(runs: Sequence[ComparedRun]) -> list[str]:
    keys = sorted({key for run in runs for key in run.params})
    return [key for key in keys if len({run.params.get(key) for run in runs}) > 1]


def _row(group: Sequence[ComparedRun], params: Sequence[str]) -> dict[str, object]:
    keys = sorted({key for run in group for key in run.metrics})
    return {
        "name": _name(group), "runs": [run.run_id for run in group],
        "seeds": sorted({run.params[SEED] for run in group if SEED in run.params}),
        "params": [group[0].params.get(key, "") for key in params],
        "metrics": {key: _over_seeds(group, key) for key in keys},
    }  # fmt: skip


def _name(group: Sequence[ComparedRun]) -> str:
    """Of several runs without the seed, and without the time and the digits that older names have besides."""
    first = group[0]
    if len(group) == 1:
        return first.name
    return re.sub(r"^\d{8}-\d{6}-|-[0-9a-f]{6}$", "", first.name.replace(f"-seed{first.params.get(SEED)}", ""))


def _over_seeds(group: Sequence[ComparedRun], metric: str) -> list[float]:
    """Runs of one seed are averaged first: they are repetitions, not further seeds."""
    by_seed: defaultdict[str | None, list[float]] = defaultdict(list)
    for run in group:
        if metric in run.metrics:
            by_seed[run.params.get(SEED)].append(run.metrics[metric])
    values = [fmean(same) for same in by_seed.values()]
    mean, count = fmean(values), len(values)
    if count == 1:
        return [mean]
    deviation = stdev(values)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * deviation / sqrt(count)
    return [mean, deviation, mean - half, mean + half, count]
