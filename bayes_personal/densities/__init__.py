"""The model as a density of its hyperparameters, all else integrated out.

Enters: densities and their algebra in terms of a bound model; no sampler.
"""
