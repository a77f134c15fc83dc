"""Gaussian weights integrated out.

Enters: densities that need a Normal outcome that is linear in Gaussian weights.
"""
