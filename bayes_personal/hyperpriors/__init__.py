"""Distributions, and the hyperparameters that follow them.

Enters: densities of single parameters, and their conjugate distributions.
"""
