"""GAMMA_CENSORED: l = log p of what was seen of a Gamma outcome of mean e^eta, see `censored_gamma`.

`own` is the shape; there is no rest, and what is left is -log y of outcomes that were seen.
"""

from bayes_personal.kernels.censored_gamma import gamma_row
from bayes_personal.kernels.censored_rows import of_rows

add_log_likelihoods, set_slopes, add_own_slopes = of_rows(gamma_row)
