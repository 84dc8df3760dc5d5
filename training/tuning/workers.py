"""Several processes that run trials of one study at the same time."""

import multiprocessing
import os
import threading
from collections.abc import Sequence
from multiprocessing.connection import wait
from typing import Any

import torch
from optuna.exceptions import StorageInternalError

from pipelines.errors import RoadsignError, describe_refusal
from training.tuning.storage import StudyError, open_study
from training.tuning.trials import Trials

__all__ = ["run_in_workers"]

SAID = 3
"""The exit code of a worker that has put its error into the queue; Python's own is 1."""


def run_in_workers(trials: Trials, places: Sequence[int]) -> None:
    """Raises StudyError, with the message of the first worker that failed; the others are then stopped."""
    context = multiprocessing.get_context("spawn")
    waiting, errors = context.Queue(), context.Queue()
    for place in places:
        waiting.put(place)
    count = min(trials.tune.workers, len(places))
    for _ in range(count):
        waiting.put(None)
    threads = max(1, (os.cpu_count() or 1) // count)
    workers = [
        context.Process(target=_work, args=(trials, waiting, errors, threads), daemon=True) for _ in range(count)
    ]
    for worker in workers:
        worker.start()
    try:
        running = list(workers)
        while running:
            wait([worker.sentinel for worker in running])
            for ended in [worker for worker in running if worker.exitcode is not None]:
                running.remove(ended)
                if ended.exitcode:
                    said = errors.get() if ended.exitcode == SAID else ""
                    raise StudyError(said or f"a worker ended with {ended.exitcode}; run the same command again")
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def _work(trials: Trials, waiting: Any, errors: Any, threads: int) -> None:
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        trials.run(open_study(trials.tune), iter(waiting.get, None))
    except (RoadsignError, OSError, StorageInternalError) as error:
        errors.put(describe_refusal(error) if isinstance(error, OSError) else str(error))
        errors.close()
        errors.join_thread()
        raise SystemExit(SAID) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _end_with_parent() -> None:
    """A killed parent cannot stop its workers, and the next command would count their trials as killed."""
    parent = multiprocessing.parent_process()
    assert parent
    wait([parent.sentinel])
    os._exit(1)
