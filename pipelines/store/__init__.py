"""Datasets on disk: the contract (schema, manifest), sums over what is written, part files, and the writer that makes a
dataset visible in one step. The only writer of datasets. Everybody may read the contract; only jobs call the writer."""
