"""Prediction: parameters, mean and outcome of known rows, new rows of known groups, new groups and new contexts."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_personal.data.columns import spelled, table
from bayes_personal.errors import SpecificationError
from bayes_personal.posterior.network_posterior import NetworkPosterior
from bayes_personal.posterior.pooled_posterior import PooledNetworkPosterior
from bayes_personal.posterior.posterior import Posterior, must_be_fitted, must_not_share
from bayes_personal.posterior.theta import KnownContexts, RowSlice, Theta, Training
from bayes_personal.questions.extrapolation import warn_of_extrapolation
from bayes_personal.questions.few_shot import FewShot
from bayes_personal.questions.network_prediction import predicted_network
from bayes_personal.questions.pooled_prediction import predicted_pool
from bayes_personal.questions.predicted import KINDS, Kind, Mean, Outcome, Prediction, with_new_features
from bayes_personal.samplers.redrawn import all_draws
from bayes_personal.system.arguments import Seed, one_of, seed_number
from bayes_personal.system.running import verb


@verb
def predict(posterior: Posterior | NetworkPosterior | PooledNetworkPosterior, frame: Any = None, *, kind: Kind = "mean",
            given: Any = None, nodes: Mapping[str, Any] | None = None, seed: Seed = None) -> Prediction:
    """Predict every row's parameters, expected outcome or outcome.

    A row of a known group takes that group's posterior. All rows of one new group share one draw of the population;
    two new groups do not, and neither do two rows whose label is missing. A context keeps the training scaling.

    Parameters
    ----------
    posterior
        A fitted model.
    frame
        Rows to predict at, with the model's predictors and contexts by name; the training rows by default.
    kind
        "theta" (parameters), "mean" (expected outcome) or "outcome" (a new outcome, noise included); data units. Of an
        outcome that is a level the mean is the probability of every level, along the dimension ``level``, and an
        outcome is the label of a level.
    given
        Rows with outcomes of groups that training never saw. Their groups are then known: given a draw of the
        parameters that groups share, the parameters of these groups are drawn given their rows, exactly for a Normal
        family with one sigma and by importance sampling elsewhere, and draws are weighted by how well they predict
        these rows. Nothing is fitted again.
    nodes
        Of a network, what some nodes are known to be: a number, or one a row, by the node's name, as in
        ``nodes={"raf": 2.0}``. The other nodes are predicted given these, and so are the row's parameters: draws are
        resampled, row by row, in proportion to the density of what is known. The frame's own columns of nodes are not
        read, so that without `nodes` whole rows are predicted.
    seed
        Seed of the new draws: of new groups, and of outcomes.

    Returns
    -------
    Prediction
        `draws` are an `xarray.DataArray`, computed where they are asked for; `frame()` is a summary.

    Raises
    ------
    NotFittedError
        An argument that is not a posterior.
    InputError, InputTypeError
        A column that is missing or holds what training could not take; an unseen level of a predictor; given rows of
        groups that training saw.
    SpecificationError
        Given rows and a family that is not Normal, or no or several context columns with new groups, or a population
        that `FineTuned` freezes, or a network. Of a network: an unknown node; the mean, where a node is not Normal;
        known nodes without their own ancestors, where one is not Normal; the mean or the outcome with
        ``parents="others"``, which has no joint density; theta, where orders of the nodes are pooled. Of a node that
        shares the types of rows with other nodes: new rows, whose types all of their nodes tell.

    Warns
    -----
    ConvergenceWarning
        Given rows that change the posterior of all groups more than weighted draws can follow; known nodes that few
        draws explain.
    InputWarning
        Rows with a context outside the training range, or in the middle of a long gap of it (`bayes_personal.data.gaps`
        says what that is), and rows with a predictor further outside its range than a quarter of it; all counted.
    """
    if isinstance(posterior, NetworkPosterior | PooledNetworkPosterior):
        pooled = isinstance(posterior, PooledNetworkPosterior)
        if given is not None:
            raise SpecificationError("predict: given= places new groups of one outcome, and this is a network. Take "
                                     f"one of its nodes, as in posterior.{'orders[0].' * pooled}nodes['mek'].")
        if isinstance(posterior, PooledNetworkPosterior):
            return predicted_pool(posterior, frame, kind, nodes, seed)
        return predicted_network(posterior, frame, kind, nodes, seed)
    must_be_fitted("predict", posterior)
    one_of("predict", KINDS, kind=kind)
    if nodes is not None:
        raise SpecificationError("predict: nodes= is what some nodes of a network are known to be, and this model has "
                                 f"one outcome, {posterior.model.outcome!r}. Leave it out.")
    if posterior.bound.choice is not None and (frame is not None or given is not None):
        # Its parents at these rows tell of the rows' types too.
        must_not_share("predict", posterior)
    bound, chains = posterior.bound, posterior.tree["posterior"].sizes
    values = all_draws(bound, posterior.tree)
    seeds, sizes = np.random.SeedSequence(seed_number("predict", seed)), (chains["chain"], chains["draw"])
    if given is not None:
        few_shot = FewShot.of(bound, given)
        bound, values = few_shot.bound, few_shot.learned(values, np.random.default_rng(seeds.spawn(1)[0]))
    if frame is None:
        rows, index = Training(bound), bound.rows.index
        first_features = bound.features_at(next(bound.rows.batches()).frame.iloc[:1])
        status = {name: np.broadcast_to("known", len(rows)) for part in first_features for name in part.status}
    else:
        new = table(frame)
        x, features = bound.design.at(new), bound.features_at(new)
        warn_of_extrapolation(bound, new, x)
        # The mean of a Gaussian outcome does not depend on its error, so rows without a standard error can have a mean.
        errorless = kind == "theta" or kind == "mean" and bound.family.gaussian
        constants = np.ones(len(new)) if errorless else bound.family.constants(new)
        values = with_new_features(bound, values, features, np.random.default_rng(seeds))
        rows, index = KnownContexts(RowSlice(features, x, constants)), new.index
        status = {name: labels for piece_features in features for name, labels in piece_features.status.items()}
    computed = {"theta": Theta, "mean": Mean, "outcome": Outcome}[kind](sizes, rows, bound, values, seeds,
                                                                      posterior.whole)
    levels = spelled(bound.family.labels or ())
    labels = bound.coefficients.names if kind == "theta" else levels if kind == "mean" else ()
    return Prediction(kind, computed, index, status, labels, levels)
