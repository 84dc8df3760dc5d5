"""Scheduled retraining: from new raw images to a better champion. Holds the batch and its steps, the gate, the lease
and the schedule; drift/ compares new images with those that the champion was trained on. Imported only by jobs."""
