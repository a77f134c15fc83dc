"""Parts of families: the base class that a family of your own extends, and checks of outcomes.

Enters: code that two families share, and no family.
"""
