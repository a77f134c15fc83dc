"""What pages consist of: templates, images, and the tables of hyperpriors, estimates and Pareto k."""

import base64
import io
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from platform import python_version
from typing import Any

import jinja2
import numpy as np
from arviz_stats.base.array import array_stats
from matplotlib.figure import Figure

from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.leaving_out.result import ELPD
from bayes_personal.posterior.posterior import Posterior


def environment() -> jinja2.Environment:
    """Load the templates of this folder; all values in them are escaped."""
    sources = {name: files(__package__).joinpath(name).read_text(encoding="utf-8")
               for name in ("report.html", "network_report.html", "parts.html", "report.css")}
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


def pareto(elpd: ELPD) -> list[tuple[str, int]]:
    """Count the rows whose Pareto k is good, too high, and far too high."""
    k, good = np.asarray(elpd.pareto_k).ravel(), float(elpd.good_k)
    return [(f"good (up to {good:.2f})", int((k <= good).sum())),
            (f"too high ({good:.2f} to 1)", int(((k > good) & (k <= 1)).sum())),
            ("far too high (above 1)", int((~(k <= 1)).sum()))]


def versions() -> dict[str, str]:
    """Return the versions of what made a page."""
    return {"Python": python_version()} | {
        name: version(name) for name in ("bayes-personal", "pymc", "arviz", "nutpie", "numpy")}
