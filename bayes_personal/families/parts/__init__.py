"""What families are made of: the base that a family of one's own extends, and checks of outcomes.

Enters: what two families share, and no family.
"""
