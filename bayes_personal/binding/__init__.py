"""A model bound to its rows: every number that a density needs, and nothing of how it is sampled.

Enters: what follows from model and data alone.
"""
