"""What a classifier is proven to withstand: randomized smoothing and Lipschitz constants, in decibels.

bounds: the mathematics of both certificates; smoothing: votes under noise; images: one image after the other; table and
figures: the result. Imported by jobs, and by the report for its table."""
