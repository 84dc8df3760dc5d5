"""The race as a plain script: a pool of two processes, each of which writes its own Parquet files with pyarrow."""

import multiprocessing
from functools import partial

from recipe import WORKERS, called, make_rows, tasks_of, write_part

if __name__ == "__main__":
    images, folder = called()
    with multiprocessing.Pool(WORKERS) as pool:
        for _ in pool.imap_unordered(partial(write_part, folder=folder, make=make_rows), enumerate(tasks_of(images))):
            pass
