"""What a prediction depends on: maps of the image, by captum, before and after a noise. The only importer of captum."""
