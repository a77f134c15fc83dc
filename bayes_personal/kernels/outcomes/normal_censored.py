"""NORMAL_CENSORED: l = log p of what was seen of a Normal outcome around eta, see `censored_normal`.

`own` is sigma; there is no rest.
"""

from bayes_personal.kernels.censored_normal import normal_row
from bayes_personal.kernels.censored_rows import of_rows

add_log_likelihoods, set_slopes, add_own_slopes = of_rows(normal_row)
