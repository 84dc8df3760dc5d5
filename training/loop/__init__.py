"""What every training has, whatever is trained: the loop, ranks, checkpoints, the run's folder, pace, progress, moving
averages. Imports streams and tracking; knows no classifier and no GAN."""
