"""Turns trained networks and datasets into tables, intervals and figures.

intervals/: what counts as one observation; classifiers/: predictions and what is measured on them; robustness/: noises
and attacks, and the evaluation as a whole; gans/: generated images against real ones. The only importers of matplotlib
in training besides gans/figures.py.
Imported by jobs, retraining and, for figures, gans."""
