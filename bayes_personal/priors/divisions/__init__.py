"""Divisions of contexts and the coefficients of their cells, summed out.

Enters: sums over change points and trees.
"""
