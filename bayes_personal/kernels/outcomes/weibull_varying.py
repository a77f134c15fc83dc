"""WEIBULL_VARYING: that of WEIBULL with a shape of e^u, u a second linear predictor.

There is no rest, and what is left is -log y of outcomes that were seen. What stands in place of the curvature is in
`censored_weibull`.
"""

from bayes_personal.kernels.censored_rows import of_varying_rows
from bayes_personal.kernels.censored_weibull import weibull_varying_row

add_log_likelihoods, set_slopes = of_varying_rows(weibull_varying_row)
