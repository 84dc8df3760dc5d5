"""A critic, a class-conditional generator and classifiers that are trained together ("Robust classifier using GAN",
section III): one of each pair of classifiers sees generated images besides the real ones, the other one does not."""
