"""LOG_NORMAL_CENSORED_VARYING: that of LOG_NORMAL_CENSORED with sigma = e^u, u a second linear predictor.

There is no rest, and what is left is -log y of outcomes that were seen. What stands in place of the curvature is in
`censored_normal`.
"""

from bayes_personal.kernels.censored_normal import log_normal_varying_row
from bayes_personal.kernels.censored_rows import of_varying_rows

add_log_likelihoods, set_slopes = of_varying_rows(log_normal_varying_row)
