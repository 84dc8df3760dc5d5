"""The robustness report: one page that says which noise, at which level, breaks a network, and whether another one is
safer."""
