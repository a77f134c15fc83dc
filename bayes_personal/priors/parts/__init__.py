"""The parts of priors: the base class that a prior of your own extends, and the pieces that several priors share.

Enters: code that two priors share, and no prior.
"""
