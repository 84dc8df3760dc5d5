"""DataFrame → DataFrame: the session, sources, frames and scoring. The only importer of pyspark besides the writer in
pipelines.store; imported by jobs alone."""
