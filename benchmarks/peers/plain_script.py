"""The race as a plain script: a pool of two processes, each of which writes its own Parquet files with pyarrow."""

import multiprocessing
from functools import partial

from recipe import WORKERS, called, make_rows, write_part

if __name__ == "__main__":
    call = called()
    write = partial(write_part, folder=call.folder, make=make_rows)
    with multiprocessing.Pool(WORKERS) as pool:
        for _ in pool.imap_unordered(write, enumerate(call.tasks)):
            pass
