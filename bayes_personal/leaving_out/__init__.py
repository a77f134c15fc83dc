"""Leaving rows and groups out, exactly or by refits, and comparing assumptions by their predictions.

Enters: log p(rows left out | the rest), and the decisions that rest on it.
"""
