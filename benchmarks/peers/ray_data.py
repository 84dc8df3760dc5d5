"""The race with Ray Data: blocks of paths, map_batches on Arrow tables, write_parquet; two CPUs, no dashboard."""

import logging

import ray
from recipe import IMAGES_PER_TASK, PARQUET, WORKERS, called, make_rows, tasks_of

if __name__ == "__main__":
    images, folder = called()
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    data = ray.data.from_arrow(tasks_of(images))
    rows = data.map_batches(make_rows, batch_format="pyarrow", batch_size=IMAGES_PER_TASK)
    rows.write_parquet(str(folder), **PARQUET)
    ray.shutdown()
