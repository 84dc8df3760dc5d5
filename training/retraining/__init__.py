"""New raw images in, a better champion out: the batch and its steps, the gate, the lease, the schedule; drift/ compares
new images with those of the champion's training. Imported by jobs alone."""
