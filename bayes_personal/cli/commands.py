"""The commands, thin over the verbs of the package."""

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track
from typer.core import TyperGroup

import bayes_personal as bp
from bayes_personal.cli.screen import (
    say,
    say_diagnostics,
    show,
    show_comparison,
    show_edges,
    show_theta,
    show_who_differs,
    terminal,
    training_rows,
)
from bayes_personal.cli.tables import check_out, read, write
from bayes_personal.cli.values import parse
from bayes_personal.errors import (
    BayesPersonalError,
    CacheWarning,
    ConvergenceWarning,
    InputWarning,
    SpecificationError,
)
from bayes_personal.formulas.nodes import several
from bayes_personal.leaving_out.question import Kind as Question
from bayes_personal.priors import Prior
from bayes_personal.questions.predicted import Kind
from bayes_personal.system.running import terminable
from bayes_personal.system.writing import must_be_writable

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
    "\"outcome ~ predictors\", or \"a + b + c ~ predictors\" for a network. Formulas never run code."))]
FamilyOption = Annotated[str, typer.Option("--family", help="The likelihood, written as in Python.")]
MethodOption = Annotated[str | None, typer.Option(
    "--method", help="How to sample, written as in Python; by default as the model asks for.")]
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
    family: FamilyOption = "Normal()", method: MethodOption = None, seed: SeedOption = None,
    out: Annotated[Path | None, typer.Option(help="Save the posterior as NetCDF (.nc).")] = None,
    parents: Annotated[str, typer.Option(help="Of a network: the nodes that each depends on, before or others.")] = (
        "before"),
) -> None:
    """Fit a model, or a network where the formula has several outcomes, as in "raf + mek + erk ~ 1"; show its story,
    its diagnostics and every context's own parameters or edges."""
    check_out(out, ".nc")
    stated = formula, parse("prior", prior), parse("family", family)
    if not several(formula) and parents != "before":
        raise SpecificationError(f"--parents {parents!r} is for a network, and the formula {formula!r} has one "
                                 "outcome.")
    model = bp.Network(*stated, parents=parents) if several(formula) else bp.Model(*stated)
    posterior = bp.fit(model, read(data), seed=seed, method=method and parse("method", method), progress=terminal())
    say(repr(model))
    say_diagnostics(posterior)
    frame, columns = training_rows(posterior), list(model.prior.columns)
    contexts = frame.drop_duplicates(columns) if columns else frame.head(1)
    if isinstance(posterior, bp.NetworkPosterior):
        show_edges(posterior, contexts, columns)
    else:
        show_theta(posterior, contexts, columns)
    if out is not None:
        posterior.save(out)
        say(f"Saved: {out}", "green")


@app.command()
def compare(
    data: Data, formula: Formula,
    prior: Annotated[list[str], typer.Option(help="A sharing assumption, written as in Python; give two or more.",
                                             show_default=False)],
    family: FamilyOption = "Normal()", method: MethodOption = None, seed: SeedOption = None,
    kind: Annotated[Question, typer.Option(help="A row left out with its own theta, or given theta.")] = "unit",
    out: Annotated[Path | None, typer.Option(help="Write the table as CSV or Parquet.")] = None,
) -> None:
    """Compare sharing assumptions by leave-one-out cross-validation."""
    check_out(out, ".csv", ".parquet")
    table = bp.compare([parse("prior", text) for text in prior], formula, read(data), family=parse("family", family),
                       kind=kind, method=method and parse("method", method), seed=seed, progress=terminal())
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
    predictions = bp.predict(fitted, read(new, training_rows(fitted)), kind=kind, seed=seed).frame()
    outcome = ", ".join(fitted.model.nodes) if isinstance(fitted.model, bp.Network) else fitted.model.outcome
    show(predictions, f"{kind} of {outcome}" if kind != "theta" else "theta", "row")
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
