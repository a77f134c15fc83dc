"""The model as a density of its hyperparameters, with everything else integrated out.

Enters: densities and their algebra in terms of a bound model; no sampler.
"""
