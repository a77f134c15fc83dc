"""The command line: the verbs of the package on files, and a demonstration."""

import ast
import warnings
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

import bayes_personal as bp
from bayes_personal.data.columns import unit_labels
from bayes_personal.data.comma_separated import read_csv
from bayes_personal.errors import (
    BayesPersonalError,
    CacheWarning,
    ConvergenceWarning,
    InputError,
    InputWarning,
    SpecificationError,
    did_you_mean,
)
from bayes_personal.families import Family
from bayes_personal.leaving_out.question import QUESTIONS
from bayes_personal.leaving_out.question import Kind as Question
from bayes_personal.posterior.summary import summarise
from bayes_personal.priors import Prior
from bayes_personal.questions.predicted import Kind
from bayes_personal.system.running import terminable
from bayes_personal.system.writing import must_be_writable, write_whole

CLASSES = {name: value for name in sorted(bp.__all__) if isinstance(value := getattr(bp, name), type)}
WORDS = {
    "prior": {name: value for name, value in CLASSES.items() if issubclass(value, Prior)},
    "family": {name: value for name, value in CLASSES.items() if issubclass(value, Family)},
    "method": {name: value for name, value in CLASSES.items() if hasattr(value, "sample")},
    "hyperprior": {"Hyperprior": bp.Hyperprior},
}
KNOWN = {name: value for words in WORDS.values() for name, value in words.items()}

# Assumptions that the demonstration compares on the sleep study.
ASSUMPTIONS: dict[Prior, str] = {
    bp.Population(): "all subjects are alike",
    bp.GaussianProcess("days"): "all subjects are alike; what a day does changes smoothly over the days",
    bp.PartialPooling("subject", on=("Intercept",)): "subjects differ in how fast they are, not in what a day does",
    bp.PartialPooling("subject"): "subjects differ in both, as members of one population",
    bp.Conditional("subject"): "subjects have nothing in common",
}


class Commands(TyperGroup):
    """Commands whose errors are one red line and exit code 2; Ctrl-C exits with code 130 and SIGTERM with 143. Any
    other exception is a bug and is shown."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        with warnings.catch_warnings(), terminable():
            show_other = warnings.showwarning

            def showwarning(message: Any, category: type[Warning], *place: Any) -> None:
                if issubclass(category, CacheWarning | ConvergenceWarning | InputWarning):
                    say(f"Warning: {message}", "yellow", stderr=True)
                else:
                    show_other(message, category, *place)

            warnings.showwarning = showwarning
            try:
                return super().invoke(ctx)
            except (BayesPersonalError, OSError) as error:
                say(f"Error: {error}", "red", stderr=True)
                raise typer.Exit(2) from error


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, rich_markup_mode="rich",
                  help="Bayesian models in which every sample has its own parameters.")

Data = Annotated[str, typer.Argument(metavar="DATA", help="A CSV or Parquet file, or a dataset such as sleepstudy or "
                                                          "dataset:sleepstudy.", show_default=False)]
Formula = Annotated[str, typer.Argument(metavar="FORMULA", show_default=False, help=(
    "\"outcome ~ predictors\". Formulas never run code, wherever they come from."))]
FamilyOption = Annotated[str, typer.Option("--family", help="The likelihood, written as in Python.")]
MethodOption = Annotated[str, typer.Option("--method", help="How to sample, written as in Python.")]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Of everything random.", min=0)]
SavedPosterior = Annotated[Path, typer.Argument(metavar="POSTERIOR", show_default=False,
                                                help="A posterior that `fit --out` saved.")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the report goes: a folder, or a file named .html.")] = Path(
        "sleep.html"),
    seed: SeedOption = 1,
    draws: Annotated[int, typer.Option(help="Draws that each of 4 chains keeps.", min=4)] = 500,
) -> None:
    """Compare five assumptions on the sleep study, show who differs, and write a report of the best."""
    page = out if out.suffix == ".html" else out / "sleep.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    must_be_writable(page)
    sleep, formula = bp.load_dataset("sleepstudy"), "reaction ~ days"
    say(f"Sleep study: {sleep['subject'].nunique()} subjects on {sleep['days'].nunique()} days, most after a short "
        f"night; reaction time in ms. {formula}, with a prior for each assumption:", "bold")
    for prior, words in ASSUMPTIONS.items():
        say(f"  {prior!r:45} {words}")
    posteriors = {repr(prior): bp.fit(bp.Model(formula, prior), sleep, seed=seed, method=bp.NUTS(draws=draws),
                                      progress=False)
                  for prior in track(list(ASSUMPTIONS), "fitting", transient=True, disable=not terminal())}
    table = bp.compare(posteriors, progress=False)
    show_comparison(table, "unit")
    best = posteriors[table.index[0]]
    say_diagnostics(best)
    show_who_differs(best, "subject", "days")
    bp.report(best, page, comparison=table, seed=seed)
    say(f"Report of {table.index[0]}: {page.resolve()}", "green")


@app.command()
def fit(
    data: Data, formula: Formula,
    prior: Annotated[str, typer.Option(help="The sharing assumption, written as in Python: "
                                            "'PartialPooling(\"subject\")'.")] = "Population()",
    family: FamilyOption = "Normal()", method: MethodOption = "NUTS()", seed: SeedOption = None,
    out: Annotated[Path | None, typer.Option(help="Save the posterior as NetCDF (.nc).")] = None,
) -> None:
    """Fit a model; show its story, its diagnostics and every context's own parameters."""
    check_out(out, ".nc")
    model = bp.Model(formula, parse("prior", prior), parse("family", family))
    posterior = bp.fit(model, read(data), seed=seed, method=parse("method", method), progress=terminal())
    say(repr(model))
    say_diagnostics(posterior)
    columns = list(model.prior.columns)
    frame = posterior.bound.frame
    contexts = frame.drop_duplicates(columns) if columns else frame.head(1)
    theta = bp.predict(posterior, contexts, kind="theta").frame()
    theta = theta[[name for name in theta if not str(name).endswith("_status")]]
    if columns:
        places = [", ".join(map(str, values)) for values in contexts[columns].itertuples(index=False, name=None)]
        theta = theta.set_axis(np.repeat(places, len(theta) // len(contexts)))
    label = ", ".join(columns) or "row"
    show(theta, f"theta of every {label}", label)
    if out is not None:
        posterior.save(out)
        say(f"Saved: {out}", "green")


@app.command()
def compare(
    data: Data, formula: Formula,
    prior: Annotated[list[str], typer.Option(help="A sharing assumption, written as in Python; give two or more.",
                                             show_default=False)],
    family: FamilyOption = "Normal()", method: MethodOption = "NUTS()", seed: SeedOption = None,
    kind: Annotated[Question, typer.Option(help="A row left out with its own theta, or given theta.")] = "unit",
    out: Annotated[Path | None, typer.Option(help="Write the table as CSV or Parquet.")] = None,
) -> None:
    """Compare sharing assumptions by leave-one-out cross-validation."""
    check_out(out, ".csv", ".parquet")
    table = bp.compare([parse("prior", text) for text in prior], formula, read(data), family=parse("family", family),
                       kind=kind, method=parse("method", method), seed=seed, progress=terminal())
    show_comparison(table, kind)
    write(table, out, "assumption")


@app.command()
def predict(
    posterior: SavedPosterior,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Rows to predict at: CSV, Parquet or a dataset.",
                                       show_default=False)],
    kind: Annotated[Kind, typer.Option(help="Parameters, expected outcome, or a new outcome.")] = "mean",
    seed: SeedOption = None,
    out: Annotated[Path | None, typer.Option(help="Write every row as CSV or Parquet.")] = None,
) -> None:
    """Predict at new rows, of known groups or new ones."""
    check_out(out, ".csv", ".parquet")
    fitted = bp.load(posterior)
    predictions = bp.predict(fitted, read(new, fitted.bound.frame), kind=kind, seed=seed).frame()
    show(predictions, f"{kind} of {fitted.model.outcome}" if kind != "theta" else "theta", "row")
    write(predictions, out, "row")


@app.command()
def report(
    posterior: SavedPosterior,
    out: Annotated[Path, typer.Option(help="The page to write (.html).")] = Path("report.html"),
    seed: SeedOption = None,
) -> None:
    """Write a self-contained HTML report."""
    check_out(out, ".html")
    bp.report(bp.load(posterior), out, seed=seed)
    say(f"Report: {out.resolve()}", "green")


@app.command()
def datasets() -> None:
    """The datasets that come with the package."""
    show(bp.datasets().set_index("name")[["rows", "outcome", "units", "purpose"]], "datasets", "name")


def parse(role: str, text: str) -> Any:
    """Return the prior, family or method that `text` writes as in Python; only constructors of this package are run."""
    by_name = {name.lower(): method for name, method in WORDS["method"].items()} if role == "method" else {}
    if text.strip() in by_name:
        return by_name[text.strip()]()
    try:
        value = evaluate(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "nested too deeply"
        raise SpecificationError(f"--{role} {text!r} is not Python: {reason}. Write it as in "
                                 f"{example(role)}.") from error
    except BayesPersonalError as error:
        raise SpecificationError(f"--{role} {text!r}: {error}") from error
    kinds = (Prior,) if role == "prior" else tuple(WORDS[role].values())
    if not isinstance(value, kinds):
        raise SpecificationError(f"--{role} {text!r} is no {role}: write it as in {example(role)}. There are: "
                                 f"{', '.join(WORDS[role])}.")
    return value


def example(role: str) -> str:
    """Return an example of the text."""
    return {"prior": "'PartialPooling(\"subject\")'", "family": "'Normal()'", "method": "'NUTS(draws=2000)'"}[role]


def evaluate(node: ast.expr) -> Any:
    """Return the value of a literal, a list, a call of one of `KNOWN`, or a sum of priors; anything else is refused."""
    match node:
        case ast.Constant(value=str() | int() | float() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List(elts=entries) | ast.Tuple(elts=entries):
            return tuple(map(evaluate, entries))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            summands = evaluate(left), evaluate(right)
            if all(isinstance(summand, Prior) for summand in summands):
                return summands[0] + summands[1]
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(value=ast.Name(id="bp"), attr=name)):
            return construct(name, node)
        case ast.Name(id=name):
            raise SpecificationError(f"{name} stands alone. Text, such as the name of a column, goes in quotes: "
                                     f"{name!r}; a class is called: {name}(). {did_you_mean(name, KNOWN)}")
    raise SpecificationError(f"{ast.unparse(node)} is refused: write calls of {', '.join(KNOWN)}, text in quotes, "
                             "numbers, lists of these, and + between priors.")


def construct(name: str, call: ast.Call) -> Any:
    """Call a class of this package."""
    if name not in KNOWN:
        raise SpecificationError(f"There is no {name!r} to call. {did_you_mean(name, KNOWN)}")
    constructor = KNOWN[name]
    named = {keyword.arg: evaluate(keyword.value) for keyword in call.keywords if keyword.arg is not None}
    if len(named) < len(call.keywords):
        raise SpecificationError(f"{ast.unparse(call)}: write each argument once, by its name, without **.")
    positional = [evaluate(argument) for argument in call.args]
    try:
        signature(constructor).bind(*positional, **named)
    except TypeError as error:
        raise SpecificationError(f"{ast.unparse(call)}: {error}. {name} takes "
                                 f"{', '.join(signature(constructor).parameters) or 'no argument'}.") from error
    return constructor(*positional, **named)


def read(source: str, like: pd.DataFrame | None = None) -> pd.DataFrame:
    """Read a dataset by name or a file by its suffix; labels in a CSV file are read as in the training rows `like`."""
    names, name = list(bp.datasets()["name"]), source.removeprefix("dataset:")
    if source != name or source in names:
        return bp.load_dataset(name)
    path = Path(source)
    if not path.is_file():
        raise InputError(f"There is no file and no dataset {source!r}. {did_you_mean(source, names)}")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix == ".csv":
            return read_csv(path, like)
    except pa.ArrowInvalid as error:
        raise InputError(f"{source!r} cannot be read as {path.suffix}: {error}") from error
    raise InputError(f"{source!r} ends in {path.suffix or 'no suffix'}: need a .csv or .parquet file.")


def check_out(out: Path | None, *suffixes: str) -> None:
    """Refuse a file that cannot be written, before any work is done."""
    if out is None:
        return
    if out.suffix not in suffixes:
        raise InputError(f"--out {str(out)!r} must end in {' or '.join(suffixes)}.")
    must_be_writable(out)


def write(frame: pd.DataFrame, out: Path | None, label: str) -> None:
    """Write a table, its index as the column `label`."""
    if out is None:
        return
    table = frame.set_axis(unit_labels(frame.index)).rename_axis(label).reset_index()
    content = table.to_csv(index=False).encode() if out.suffix == ".csv" else table.to_parquet(index=False)
    write_whole(out, content)
    say(f"Written: {out}", "green")


def terminal() -> bool:
    """Return whether a terminal shows the output."""
    return Console().is_terminal


def say(words: str, style: str = "", stderr: bool = False) -> None:
    """Print a line unchanged, without breaks."""
    Console(stderr=stderr).print(Text(words, style), soft_wrap=True)


def show(frame: pd.DataFrame, title: str, label: str, limit: int = 10,
         formats: Mapping[str, str] | None = None) -> None:
    """Print the head of a table, numbers with 4 digits or by the format of their column."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, caption_justify="left",
                  caption=f"{limit} of {len(frame)} rows" if len(frame) > limit else None)
    table.add_column(label, no_wrap=True)
    for name in frame:
        number = pd.api.types.is_numeric_dtype(frame[name])
        table.add_column(str(name), justify="right" if number else "left", no_wrap=number, overflow="fold")
    form = formats or {}
    for row, cells in frame.head(limit).iterrows():
        spelled = (f"{cell:{form.get(str(name), '.4g')}}" if isinstance(cell, float) else str(cell)
                   for name, cell in cells.items())
        table.add_row(fill(str(row), 30), *spelled)
    # Names of columns are no markup.
    Console(markup=False, emoji=False, highlight=False).print(table)


def show_comparison(table: pd.DataFrame, kind: Question) -> None:
    """Print the columns that a terminal has room for; the file has all columns."""
    chosen = table[["elpd", "difference", "difference_se", "weight", "verdict"]].rename(columns={"difference_se": "±"})
    show(chosen, QUESTIONS[kind], "assumption", len(table),
         {"elpd": ".1f", "difference": ".1f", "±": ".1f", "weight": ".2f"})


def say_diagnostics(posterior: bp.Posterior) -> None:
    """Print whether the draws can be trusted."""
    say(str(posterior.diagnostics))
    if posterior.complaints:
        say("DO NOT TRUST: " + "; ".join(posterior.complaints), "bold red")
    else:
        say("Diagnostics: no complaint.", "green")
    if posterior.misfit:
        say("MISFIT: " + posterior.misfit, "yellow")


def show_who_differs(posterior: bp.Posterior, by: str, coefficient: str, ends: int = 3) -> None:
    """Print the groups with the least and greatest coefficient, each against the average group."""
    groups = posterior.bound.frame.drop_duplicates(by)
    theta = bp.predict(posterior, groups, kind="theta").draws.sel(coefficient=coefficient)
    table = summarise(theta, pd.Index(groups[by]))
    against = summarise(theta - theta.mean("unit"), table.index)
    table["against average"] = np.select([against["q5"] > 0, against["q95"] < 0], ["above", "below"], "")
    differing = (table["against average"] != "").sum()
    bounds = table[["q5", "mean", "q95"]].to_numpy()
    table["interval"] = [interval(*row) for row in (bounds - bounds.min()) / np.ptp(bounds)]
    table = table.sort_values("mean")[["mean", "q5", "q95", "interval", "against average"]]
    show(pd.concat([table.head(ends), table.tail(ends)]),
         f"Who differs: {coefficient}. {differing} of {len(table)} lie above or below the average {by}, with a "
         "probability of 95 % each.", by, formats=dict.fromkeys(("mean", "q5", "q95"), ".1f"))


def interval(low: float, mean: float, high: float, width: int = 22) -> str:
    """Draw an interval and its mean on a line from 0 to 1."""
    line = ["·"] * (width + 1)
    start, stop = round(low * width), round(high * width)
    line[start:stop + 1] = "─" * (stop + 1 - start)
    line[round(mean * width)] = "●"
    return "".join(line)
