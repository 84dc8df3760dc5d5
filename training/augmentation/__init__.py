"""Random changes of training images, as functions of numbers drawn elsewhere. Imports no other room of training."""
