"""Log likelihoods of single rows as functions of their linear predictors, a file for each family.

Enters: families, as functions that `likelihoods` calls and names.
"""
