"""Generated images against real ones: features, distances, collapse, and the evaluation from settings to files."""
