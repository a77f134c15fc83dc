"""Weights of predictive distributions whose mixture predicts best."""

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, minimize

from bayes_personal.errors import ConvergenceWarning, warn

# Tolerated distance of the mixture from the best one, in nats over all rows.
NATS = 0.01
# Rounds, and safe steps in each, which are followed by a search that may fail.
ROUNDS, STEPS = 50, 100


def stacked(log_density: np.ndarray) -> np.ndarray:
    """Return weights w that maximise ``sum_i log sum_k w_k p_ik``, none negative, with sum 1.

    At the best weights no mean over i of ``p_ik / sum_l w_l p_il`` is above 1, and the score can rise by no more than
    the excess of the largest over 1: this ends the search. `arviz.compare` maximises the same score, but does not check
    that it succeeded, and fails where each entry is the density of many rows and its exponential is 0.

    Parameters
    ----------
    log_density
        Log predictive density of each of K assumptions for N rows, or groups of rows, that it has not seen, (N, K).

    Warns
    -----
    ConvergenceWarning
        Weights that are not yet the best.

    References
    ----------
    Yao, Vehtari, Simpson and Gelman (2018), doi:10.1214/17-BA1091.
    """
    # A factor of a row's density that all assumptions share does not change which of them is better there.
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    rows, count = density.shape
    simplex = {"bounds": Bounds(0, 1), "constraints": LinearConstraint(np.ones(count), 1, 1)}

    def loss(weights: np.ndarray) -> float:
        with np.errstate(divide="ignore"):
            return -float(np.log(density @ weights.clip(0)).mean())

    def shares(weights: np.ndarray) -> np.ndarray:
        return (density / np.maximum(density @ weights.clip(0), np.finfo(float).tiny)[:, None]).mean(axis=0)

    weights = np.full(count, 1 / count)
    for _ in range(ROUNDS):
        for _ in range(STEPS):
            weights = weights * shares(weights)
        sought = minimize(loss, weights, jac=lambda at: -shares(at), method="SLSQP", options={"ftol": 1e-14},
                          **simplex).x.clip(0)
        for candidate in (sought / sought.sum(), weights):
            if (gap := rows * (shares(candidate).max() - 1)) < NATS:
                return candidate
    warn(f"stacking: weights predict up to {gap:.2g} nats worse, over all rows, than the best ones would.",
         ConvergenceWarning)
    return weights
