"""Rows, in memory or on disk: their columns and contexts, how they are read, and how passes over them run.

Enters: code that reads a user's data before any model is known.
"""
