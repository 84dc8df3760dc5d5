"""Several processes that take items from one queue at the same time, such as trainings of a study or of a grid."""

import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any, TypeVar

import torch

from pipelines.errors import RoadsignError, describe_refusal

__all__ = ["WorkerError", "end_with_parent", "run_in_workers"]

SAID = 3
"""The exit code of a worker that has put its error into the queue; Python's own is 1."""
Item = TypeVar("Item")


class WorkerError(RoadsignError):
    """A worker has failed."""


def run_in_workers(work: Callable[[Iterator[Item]], None], items: Sequence[Item], workers: int) -> None:
    """Calls `work` in each of `workers` processes, which share the processor's cores, with the items that it takes from
    the queue; `work` and the items are pickled. Raises WorkerError, with the message of the first worker that failed;
    the others are then stopped."""
    context = multiprocessing.get_context("spawn")
    waiting, errors, works = context.Queue(), context.Queue(), context.Queue()
    works.cancel_join_thread()  # a worker that ended early has left its copy there
    for item in items:
        waiting.put(item)
    count, pickled = min(workers, len(items)), pickle.dumps(work)
    for _ in range(count):
        waiting.put(None)
        works.put(pickled)  # as an argument of Process, a large one would start the workers one after the other
    threads = max(1, (os.cpu_count() or 1) // count)
    processes = [
        context.Process(target=_work, args=(works, waiting, errors, threads), daemon=True) for _ in range(count)
    ]
    for process in processes:
        process.start()
    try:
        running = list(processes)
        while running:
            wait([process.sentinel for process in running])
            for ended in [process for process in running if process.exitcode is not None]:
                running.remove(ended)
                if ended.exitcode:
                    said = errors.get() if ended.exitcode == SAID else ""
                    raise WorkerError(said or f"a worker ended with {ended.exitcode}; run the same command again")
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _work(works: Any, waiting: Any, errors: Any, threads: int) -> None:
    torch.set_num_threads(threads)
    end_with_parent()
    try:
        work = pickle.loads(works.get())  # noqa: S301 - of the parent
        work(iter(waiting.get, None))
    except (RoadsignError, OSError) as error:
        errors.put(describe_refusal(error) if isinstance(error, OSError) else str(error))
        errors.close()
        errors.join_thread()
        raise SystemExit(SAID) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def end_with_parent() -> None:
    """Ends this process when its parent has ended. A killed parent cannot stop its workers: they would go on unseen,
    and the next command would find their trainings in use."""
    parent = multiprocessing.parent_process()
    assert parent

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
