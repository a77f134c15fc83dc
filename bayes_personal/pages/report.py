"""One self-contained HTML file about a posterior: the model, whether to trust it, who differs, and its predictions."""

import base64
import io
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from platform import python_version
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from arviz_stats.base.array import array_stats
from matplotlib.figure import Figure

from bayes_personal.errors import ConvergenceWarning, InputTypeError, SpecificationError
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.leaving_out.elpd import recent
from bayes_personal.leaving_out.result import ELPD
from bayes_personal.pages.plots import (
    Profile,
    fitted,
    plot_comparison,
    plot_pareto_k,
    plot_predictive,
    plot_theta,
    profiles,
)
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.system.arguments import Seed, file_path, seed_number
from bayes_personal.system.running import verb
from bayes_personal.system.writing import must_be_writable, write_whole

FURTHEST, NEAREST = 5, 5


@verb
def report(posterior: Posterior, path: str | Path, *, comparison: pd.DataFrame | None = None,
           elpd: ELPD | None = None, seed: Seed = None) -> Path:
    """Write the results of a posterior into one self-contained HTML file.

    It holds the model with its hyperpriors in the data's own units, the diagnostics (complaints in red), the
    population's parameters and scales, who differs, a posterior predictive check, leave-one-out cross-validation (the
    last result of `loo` or `compare` for this posterior, if there is one; left out for a frozen population), the
    comparison where one is given, software versions and the seed.

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
    fitted(posterior, "report")
    file_path("report", path)
    must_be_writable(path)
    figure = None if comparison is None else image(plot_comparison(comparison))
    seed = seed_number("report", np.random.SeedSequence() if seed is None else seed)
    with warnings.catch_warnings():
        # The page has a table and a figure of Pareto k.
        warnings.simplefilter("ignore", ConvergenceWarning)
        elpd = elpd_of(posterior, elpd)
    doubts = [] if elpd is None else [words for words in elpd.complaints if words not in posterior.complaints]
    page = environment().get_template("report.html").render(
        posterior=posterior, rows=len(posterior.bound.rows), story=repr(posterior.model).splitlines()[1:],
        hyperpriors=hyperpriors(posterior), diagnostics=str(posterior.diagnostics).splitlines(),
        estimates=estimates(posterior), theta=image(plot_theta(posterior)), extremes=extremes(posterior),
        predictive=image(plot_predictive(posterior, seed=seed)), elpd=elpd, doubts=doubts,
        pareto=elpd and pareto(elpd), pareto_k=elpd and image(plot_pareto_k(elpd)),
        comparison=comparison, comparison_figure=figure, seed=seed,
        versions={"Python": python_version()} | {
            name: version(name) for name in ("bayes-personal", "pymc", "arviz", "nutpie", "numpy")})
    write_whole(path, page.encode())
    return Path(path)


def elpd_of(posterior: Posterior, elpd: ELPD | None) -> ELPD | None:
    """Return the result of `loo` that the page shows; None for a frozen population."""
    if elpd is None:
        return None if posterior.bound.second_stage else recent(posterior)
    if not isinstance(elpd, ELPD):
        raise InputTypeError(f"report: elpd must be a result of loo(); got {type(elpd).__name__}.")
    rows = len(posterior.bound.rows)
    if elpd.conditioning != "unit" or elpd.n_data_points != rows:
        raise SpecificationError(f"report: elpd leaves out {elpd.n_data_points} of kind {elpd.conditioning!r}; need "
                                 f"loo(posterior) of this posterior, which leaves out each of its {rows} rows.")
    return elpd


def environment() -> jinja2.Environment:
    """Load the templates of this folder; all values in them are escaped."""
    sources = {name: files(__package__).joinpath(name).read_text(encoding="utf-8")
               for name in ("report.html", "report.css")}
    result = jinja2.Environment(loader=jinja2.DictLoader(sources), autoescape=True, undefined=jinja2.StrictUndefined,
                                trim_blocks=True, lstrip_blocks=True)
    result.filters["near"] = near
    return result


def image(figure: Figure) -> dict[str, Any]:
    """Return a figure as the source of an image, drawn at 192 dots an inch, and its width in pixels, 96 an inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=192)
    return {"source": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode(),
            "width": round(96 * figure.get_figwidth())}


def near(value: float, sd: float | None = None) -> str:
    """Round a number to two digits of its standard deviation `sd`, or to four digits of the number."""
    if sd is None or not (np.isfinite(value) and np.isfinite(sd) and sd > 0):
        return f"{value:.4g}"
    decimals = 1 - int(np.floor(np.log10(sd)))
    return f"{value:.{max(decimals, 0)}f}" if decimals < 7 and abs(value) < 1e7 else f"{value:.4g}"


def hyperpriors(posterior: Posterior) -> list[tuple[str, str]]:
    """List every hyperparameter with its distribution, in the data's own units."""
    bound = posterior.bound
    parameters = bound.hyperparameters
    return [line for parameter in parameters for line in stated(parameter)]


def stated(parameter: Parameter) -> Iterator[tuple[str, str]]:
    """Yield a line for each entry of a hyperparameter."""
    labels = list(parameter.coords.values())
    arguments = {name: np.broadcast_to(value, parameter.shape) for name, value in parameter.arguments.items()}
    for place in np.ndindex(*parameter.shape):
        words = ", ".join(f"{name} = {near(float(values[place]))}" for name, values in arguments.items())
        named = [labels[axis][i] for axis, i in enumerate(place)]
        yield entry(parameter.name, named), f"{parameter.distribution}({words})"


def entry(name: str, labels: list[Any]) -> str:
    """Name an entry of a variable by its labels."""
    return f"{name}[{', '.join(map(str, labels))}]" if labels else name


def estimates(posterior: Posterior) -> list[dict[str, Any]]:
    """Summarise the shared parameters: every entry that is diagnosed, without weights and constants."""
    bound, variational = posterior.bound, "variational" in posterior.tree
    left_out = bound.undiagnosed(collapsed=True) | ({bound.mean.name} if bound.mean else set()) - {"mu"}
    correlations = {f"{term.name}_correlation" for term in bound.terms}
    result = []
    for name, variable in posterior.tree["posterior"].to_dataset().data_vars.items():
        if name in left_out:
            continue
        values = variable.transpose("chain", "draw", ...)
        mirrored = name in correlations
        for place in np.ndindex(*values.shape[2:]):
            draws = values.to_numpy()[:, :, *place]
            if np.ptp(draws) == 0 or mirrored and place[0] <= place[1]:
                continue
            low, high = np.quantile(draws, [0.05, 0.95])
            result.append({
                "name": entry(str(name), [values[dim].to_numpy()[i] for dim, i in zip(values.dims[2:], place,
                                                                                     strict=True)]),
                "mean": draws.mean(), "sd": draws.std(ddof=1), "low": low, "high": high,
                "r_hat": None if variational or len(draws) == 1 else array_stats.rhat(draws),
                "ess": None if variational else array_stats.ess(draws, method="bulk")})
    return result


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


def pareto(elpd: ELPD) -> list[tuple[str, int]]:
    """Count the rows whose Pareto k is good, too high, and far too high."""
    k, good = np.asarray(elpd.pareto_k).ravel(), float(elpd.good_k)
    return [(f"good (up to {good:.2f})", int((k <= good).sum())),
            (f"too high ({good:.2f} to 1)", int(((k > good) & (k <= 1)).sum())),
            ("far too high (above 1)", int((~(k <= 1)).sum()))]
