"""Retraining in service: whether a challenger takes the champion's place, who may decide it, and what has drifted."""
