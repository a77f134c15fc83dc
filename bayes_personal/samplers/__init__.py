"""From a density to draws: NUTS, Laplace and ADVI, and what they share.

Enters: ways to draw, which know no verb.
"""
