"""What all trainings share: the loop, ranks, checkpoints, the run folder, pace, progress, moving averages. Imports
streams and tracking; independent of classifiers and GANs."""
