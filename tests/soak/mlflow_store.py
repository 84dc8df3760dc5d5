"""Reads MLflow's database file directly: a client would keep connections to a file that is replaced between faults."""

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["StoredRun", "aliases", "open_runs", "runs"]

OF_THE_MACHINE = ("images_per_s", "data_wait_share", "system/", "seconds")
"""Metrics that differ between two runs that nobody disturbs."""


class StoredRun(NamedTuple):
    run_id: str
    status: str
    metrics: str
    """A digest of all points (name, step, value); a step may be there twice with the same value, after a resume."""


def runs(database: Path, experiment: str) -> list[StoredRun]:
    where = "SELECT run_uuid, status FROM runs JOIN experiments e USING (experiment_id) WHERE e.name = ?"
    found = _ask(database, where, (experiment,))
    return sorted(StoredRun(run_id, status, _metrics(database, run_id)) for run_id, status in found)


def open_runs(database: Path, experiment: str = "%") -> list[str]:
    """What is wrong with runs that have not ended, of all experiments or of one."""
    where = "SELECT run_uuid, status FROM runs JOIN experiments e USING (experiment_id) WHERE e.name LIKE ?"
    found = [run_id for run_id, status in _ask(database, where, (experiment,)) if status in ("RUNNING", "SCHEDULED")]
    return [f"the run {run_id} is still RUNNING" for run_id in found]


def aliases(database: Path) -> dict[str, str]:
    """alias: version, of all registered models."""
    found = _ask(database, "SELECT name, alias, version FROM registered_model_aliases", ())
    return {f"{name}@{alias}": str(version) for name, alias, version in found}


def _metrics(database: Path, run_id: str) -> str:
    found = _ask(database, "SELECT DISTINCT key, step, value FROM metrics WHERE run_uuid = ?", (run_id,))
    points = sorted(point for point in found if not any(part in point[0] for part in OF_THE_MACHINE))
    return hashlib.sha256(json.dumps(points).encode()).hexdigest()[:16]


def _ask(database: Path, question: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    if not database.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=rw", uri=True, timeout=60)) as connection:
        try:
            return list(connection.execute(question, values))
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # killed before MLflow had made them
                return []
            raise
