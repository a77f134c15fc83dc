"""A Gaussian Markov field over contexts integrated out.

Enters: what needs a sparse precision.
"""
