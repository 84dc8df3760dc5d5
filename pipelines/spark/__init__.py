"""Spark: the session, sources, frames and scoring. Apart from the writer in pipelines.store the only importer of
pyspark; imported only by jobs."""
