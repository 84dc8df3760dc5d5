"""A dataset on disk → batches of images, each image once per epoch, in an order that only seed and dataset decide.

The only importer of petastorm. Hands out `stream.open_stream`, `open_split.open_split` and the names of variants;
imports no other room of training."""
