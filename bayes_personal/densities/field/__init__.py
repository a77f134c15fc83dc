"""A Gaussian Markov field over contexts integrated out.

Enters: densities that need a sparse precision.
"""
