"""Divisions of contexts, and what their cells have of their own, summed out.

Enters: what sums over change points and trees.
"""
