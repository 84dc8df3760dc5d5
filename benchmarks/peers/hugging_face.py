"""The race with Hugging Face datasets: map over Arrow batches in two processes, then to_parquet.

Its Parquet files are always of snappy; what else costs time and serves only the Hub (content-defined chunking, page
indexes, statistics) is switched off."""

import datasets
from recipe import SCHEMA, VARIANTS, WORKERS, called, make_rows

if __name__ == "__main__":
    call = called()
    datasets.disable_progress_bars()
    rows = (
        datasets.Dataset(call.images)
        .with_format("arrow")
        .map(
            make_rows, batched=True, batch_size=call.images_per_task, num_proc=WORKERS,
            remove_columns=call.images.column_names, features=datasets.Features.from_arrow_schema(SCHEMA),
        )
    )  # fmt: skip
    rows.to_parquet(
        call.folder / "rows.parquet", batch_size=len(VARIANTS) * call.images_per_task,
        use_content_defined_chunking=False, write_page_index=False, write_statistics=False,
    )  # fmt: skip
