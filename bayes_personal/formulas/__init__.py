"""The language of formulas: how they are read, computed without running code, and become a design.

Enters: what turns text and rows into outcomes and predictors.
"""
