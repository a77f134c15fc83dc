"""Leaving rows and groups out, exactly or by refits, and comparing assumptions by it.

Enters: log p(what is left out | the rest), and what is decided by it.
"""
