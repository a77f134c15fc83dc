"""A walk along an ordered context integrated out, place by place.

Enters: densities whose weights form a chain.
"""
