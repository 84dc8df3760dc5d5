"""What classifiers predict for every image of a split, and what is measured and drawn of one variant."""
