"""LOG_NORMAL_CENSORED: l = log p of what was seen of a log-normal outcome around e^eta, see `censored_normal`.

`own` is sigma; there is no rest, and what is left is -log y of outcomes that were seen.
"""

from bayes_personal.kernels.censored_normal import log_normal_row
from bayes_personal.kernels.censored_rows import of_rows

add_log_likelihoods, set_slopes, add_own_slopes = of_rows(log_normal_row)
