"""Which images of one class show the same sign, where a data set does not say it: pixels and annotated sizes in, groups
of equal size out. GTSRB's test images are frames of tracks whose ids are not published."""
