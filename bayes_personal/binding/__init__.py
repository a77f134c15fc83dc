"""A model bound to its rows: every number that a density needs, independent of the sampler.

Enters: code for whatever follows from model and data alone.
"""
