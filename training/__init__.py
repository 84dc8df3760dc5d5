"""Training on PyTorch: streams of images, models and what is measured of them."""
