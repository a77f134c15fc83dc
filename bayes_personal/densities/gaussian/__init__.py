"""Gaussian weights integrated out.

Enters: what needs a Normal outcome that is linear in Gaussian weights.
"""
