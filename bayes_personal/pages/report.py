"""One self-contained HTML file about a posterior: the model, whether to trust it, who differs, and its predictions."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_personal.errors import ConvergenceWarning, InputTypeError, SpecificationError
from bayes_personal.leaving_out.elpd import recent
from bayes_personal.leaving_out.result import ELPD
from bayes_personal.pages.comparison_plots import plot_comparison, plot_pareto_k
from bayes_personal.pages.contents import environment, estimates, hyperpriors, image, pareto, versions
from bayes_personal.pages.network_page import network_page
from bayes_personal.pages.plots import Profile, observed, plot_predictive, plot_theta, profiles
from bayes_personal.pages.survival_plot import plot_survival
from bayes_personal.posterior.network_posterior import NetworkPosterior
from bayes_personal.posterior.posterior import Posterior, must_be_fitted
from bayes_personal.system.arguments import Seed, file_path, seed_number
from bayes_personal.system.running import verb
from bayes_personal.system.writing import must_be_writable, write_whole

FURTHEST, NEAREST = 5, 5


@verb
def report(posterior: Posterior | NetworkPosterior, path: str | Path, *, comparison: pd.DataFrame | None = None,
           elpd: ELPD | None = None, seed: Seed = None) -> Path:
    """Write the results of a posterior into one self-contained HTML file.

    It holds the model with its hyperpriors in the data's own units, the diagnostics (complaints in red), the
    population's parameters and scales, who differs, a posterior predictive check, leave-one-out cross-validation (the
    last result of `loo` or `compare` for this posterior, if there is one; left out for a frozen population), the
    comparison where one is given, software versions and the seed. Of a network it shows the network at a few contexts,
    its strongest edges and all edges along the context, and each node in a section that unfolds.

    Parameters
    ----------
    posterior
        A fitted model.
    path
        Path of the file; an existing file is replaced.
    comparison
        The table that `compare` returned for this posterior's data.
    elpd
        The result of `loo` for every row of this posterior, such as ``loo(posterior, refit=False)`` where refits take
        long; by default the last result with refits, or a new one.
    seed
        Seed of the replicates of the predictive check; by default a new one, which the report names.

    Returns
    -------
    pathlib.Path
        Path of the file.

    Raises
    ------
    NotFittedError
        An argument that is not a posterior.
    InputTypeError
        A comparison that is not the frame of `compare`, or an `elpd` that is not a result of `loo`.
    SpecificationError
        An `elpd` of groups, of some rows or of other data.
    FileError
        A folder that does not exist, a path that is a folder or no regular file, or a file that cannot be written; an
        existing file is then unchanged.
    """
    if not isinstance(posterior, NetworkPosterior):
        must_be_fitted("report", posterior)
    file_path("report", path)
    must_be_writable(path)
    figure = None if comparison is None else image(plot_comparison(comparison))
    seed = seed_number("report", np.random.SeedSequence() if seed is None else seed)
    with warnings.catch_warnings():
        # The page has a table and a figure of Pareto k.
        warnings.simplefilter("ignore", ConvergenceWarning)
        elpd = elpd_of(posterior, elpd)
    doubts = [] if elpd is None else [words for words in elpd.complaints if words not in posterior.complaints]
    shared = {"elpd": elpd, "doubts": doubts, "pareto": elpd and pareto(elpd),
              "pareto_k": elpd and image(plot_pareto_k(elpd)), "comparison": comparison, "comparison_figure": figure,
              "seed": seed, "versions": versions()}
    page = (network_page(posterior, shared) if isinstance(posterior, NetworkPosterior) else
            model_page(posterior, seed, shared))
    write_whole(path, page.encode())
    return Path(path)


def model_page(posterior: Posterior, seed: int | None, shared: dict[str, Any]) -> str:
    """Return the page of a model with one outcome."""
    return environment().get_template("report.html").render(
        posterior=posterior, rows=len(posterior.bound.rows), story=repr(posterior.model).splitlines()[1:],
        hyperpriors=hyperpriors(posterior), diagnostics=str(posterior.diagnostics).splitlines(),
        estimates=estimates(posterior), theta=image(plot_theta(posterior)), extremes=extremes(posterior),
        predictive=image(plot_predictive(posterior, seed=seed) if observed(posterior)[1].all() else
                         plot_survival(posterior, seed=seed)), **shared)


def elpd_of(posterior: Posterior | NetworkPosterior, elpd: ELPD | None) -> ELPD | None:
    """Return the result of `loo` that the page shows; None for a frozen population."""
    bounds = [posterior.bound] if isinstance(posterior, Posterior) else [
        node.bound for node in posterior.nodes.values()]
    if elpd is None:
        return None if any(bound.second_stage for bound in bounds) else recent(posterior)
    if not isinstance(elpd, ELPD):
        raise InputTypeError(f"report: elpd must be a result of loo(); got {type(elpd).__name__}.")
    rows = len(bounds[0].rows)
    if elpd.conditioning != "unit" or elpd.n_data_points != rows:
        raise SpecificationError(f"report: elpd leaves out {elpd.n_data_points} of kind {elpd.conditioning!r}; need "
                                 f"loo(posterior) of this posterior, which leaves out each of its {rows} rows.")
    return elpd


def extremes(posterior: Posterior) -> list[dict[str, Any]]:
    """Return, for each varying coefficient, the units furthest from the average and those nearest to it."""
    by_coefficient: dict[str, Profile] = {}
    for profile in profiles(posterior, None, None):
        if profile.kind != "constant" and (profile.coefficient not in by_coefficient or profile.kind == "labels"):
            by_coefficient[profile.coefficient] = profile
    result = []
    for profile in by_coefficient.values():
        table = profile.summary.assign(away=profile.summary["mean"] - profile.summary["mean"].mean())
        order = np.argsort(-table["away"].abs().to_numpy(), kind="stable")
        if len(order) > FURTHEST + NEAREST:
            order = np.concatenate([order[:FURTHEST], order[-NEAREST:]])
        result.append({"coefficient": profile.coefficient, "unit": profile.unit, "columns": ", ".join(profile.columns),
                       "total": len(table), "rows": table.iloc[order].to_dict("records")})
    return result
