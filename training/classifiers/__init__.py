"""The training of a classifier: its settings, its step, the trained network as a file, and the run from settings to
tracked model. Imported by jobs; trained networks also by gans, executors, evaluation and retraining."""
