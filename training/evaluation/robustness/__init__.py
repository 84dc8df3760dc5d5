"""Classifiers over noises, levels and attacks: curves, flags, and the evaluation from its settings to its files."""
