"""Images in, row groups of every size and variant out, with their sums: pure NumPy. Also the settings of the main job,
and its figures and console lines. Imported by pipelines.spark and by jobs."""
