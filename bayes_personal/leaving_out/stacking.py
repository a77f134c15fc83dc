"""Weights of predictive distributions whose mixture predicts best."""

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, minimize

from bayes_personal.errors import ConvergenceWarning, warn

# How far the mixture may be from the best one, in nats over all rows.
NATS = 0.01
# Each of so many rounds has so many steps that cannot go wrong, and then a search that can.
ROUNDS, STEPS = 50, 100


def stacked(log_density: np.ndarray) -> np.ndarray:
    """Weights w that maximise ``sum_i log sum_k w_k p_ik``, none negative, with sum 1.

    At the best weights no mean over i of ``p_ik / sum_l w_l p_il`` is above 1, and by as much as the largest is above
    it the score can still rise: that says when the search is over. `arviz.compare` maximises the same, but does not
    look at whether it got anywhere, and loses all where each entry is that of many rows and its exponential is 0.

    Parameters
    ----------
    log_density
        What each of K assumptions predicts of N rows, or groups of rows, that it has not seen, (N, K).

    Warns
    -----
    ConvergenceWarning
        Weights that are not yet the best.

    References
    ----------
    Yao, Vehtari, Simpson and Gelman (2018), doi:10.1214/17-BA1091.
    """
    # What all assumptions find improbable of a row has no part in which of them is better there.
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
        for found in (sought / sought.sum(), weights):
            if (left := rows * (shares(found).max() - 1)) < NATS:
                return found
    warn(f"stacking: weights predict up to {left:.2g} nats worse, over all rows, than the best ones would.",
         ConvergenceWarning)
    return weights
