"""Tests whether new images are like those that the champion was trained on."""
