"""The front of the project for notebooks."""
