"""Datasets on disk: the contract (schema, manifest), statistics of the images, part files, and the writer that makes a
dataset visible in one step. The only writer of datasets. Any room may import the contract; only jobs call the
writer."""
