"""Renders images to row groups of every size and variant, with their sums, in functions that Numba
compiles or in NumPy. Also holds the settings of the main job, its figures and its console output. Imported by
pipelines.spark and jobs."""
