"""Where a model is from and what became of it, by digests: from the raw images to the decisions on its promotion."""
