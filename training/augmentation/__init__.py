"""Random changes of training images, as functions of numbers that are drawn elsewhere. Imports no other room of
training."""
