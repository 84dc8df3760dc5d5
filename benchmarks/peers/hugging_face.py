"""The race with Hugging Face datasets: map over Arrow batches in two processes, then to_parquet.

Its Parquet files are always of snappy; what else costs time and serves only the Hub (content-defined chunking, page
indexes, statistics) is switched off."""

import datasets
from recipe import IMAGES_PER_TASK, SCHEMA, VARIANTS, WORKERS, called, make_rows

if __name__ == "__main__":
    images, folder = called()
    datasets.disable_progress_bars()
    rows = (
        datasets.Dataset(images)
        .with_format("arrow")
        .map(
            make_rows, batched=True, batch_size=IMAGES_PER_TASK, num_proc=WORKERS,
            remove_columns=images.column_names, features=datasets.Features.from_arrow_schema(SCHEMA),
        )
    )  # fmt: skip
    rows.to_parquet(
        folder / "rows.parquet", batch_size=len(VARIANTS) * IMAGES_PER_TASK,
        use_content_defined_chunking=False, write_page_index=False, write_statistics=False,
    )  # fmt: skip
