"""The race with Ray Data: blocks of paths, map_batches on Arrow tables, write_parquet; two CPUs, no dashboard."""

import logging

import ray
from recipe import PARQUET, WORKERS, called, make_rows

if __name__ == "__main__":
    call = called()
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    data = ray.data.from_arrow(call.tasks)
    rows = data.map_batches(make_rows, batch_format="pyarrow", batch_size=call.images_per_task)
    rows.write_parquet(str(call.folder), **PARQUET)
    ray.shutdown()
