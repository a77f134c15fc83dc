"""WEIBULL: l = log p of what was seen of a Weibull outcome of scale e^eta, see `censored_weibull`.

`own` is the shape; there is no rest, and what is left is -log y of outcomes that were seen.
"""

from bayes_personal.kernels.censored_rows import of_rows
from bayes_personal.kernels.censored_weibull import weibull_row

add_log_likelihoods, set_slopes, add_own_slopes = of_rows(weibull_row)
