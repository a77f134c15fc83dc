"""Likelihoods that are not Gaussian, replaced by Gaussian ones.

Enters: approximate densities, of which draws are corrected by importance weights; no sampler.
"""
