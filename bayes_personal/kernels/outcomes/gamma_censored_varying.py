"""GAMMA_CENSORED_VARYING: that of GAMMA_CENSORED with a shape of e^-2u, u a second linear predictor.

There is no rest, and what is left is -log y of outcomes that were seen. What stands in place of the curvature is in
`censored_gamma`.
"""

from bayes_personal.kernels.censored_gamma import gamma_varying_row
from bayes_personal.kernels.censored_rows import of_varying_rows

add_log_likelihoods, set_slopes = of_varying_rows(gamma_varying_row)
