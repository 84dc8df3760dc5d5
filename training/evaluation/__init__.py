"""What classifiers are worth on the variants of a dataset: predictions, metrics, the tidy table, figures, reports."""
