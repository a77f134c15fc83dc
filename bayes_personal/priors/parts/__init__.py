"""What priors are made of: the base that a prior of one's own extends, and the pieces that several priors share.

Enters: what two priors share, and no prior.
"""
