"""Grids: rows of settings times seeds, each trained, and evaluated under noise and attack, in one table. Imported by
jobs alone."""
