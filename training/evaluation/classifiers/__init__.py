"""The predictions of classifiers for every image of a split, and metrics and figures of one variant."""
