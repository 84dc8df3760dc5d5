"""Turns a dataset on disk into batches of images, each image once per epoch, in an order that depends only on the seed
and the dataset.

The only importer of petastorm. Provides `stream.open_stream`, `open_split.open_split` and the names of variants;
imports no other room of training."""
