"""The language of formulas: how they are read, computed without running code, and turned into a design.

Enters: code that turns text and rows into outcomes and predictors.
"""
