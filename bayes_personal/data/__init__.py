"""Rows, in memory or on disk: their columns and contexts, how they are read, and how a pass over them is made.

Enters: what reads a user's data before any model is known.
"""
