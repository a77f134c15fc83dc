"""The model that a user states: a formula, a prior and a family; as a PyMC program, and as text in a file.

Enters: descriptions of a model before it is fitted.
"""
