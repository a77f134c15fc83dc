"""The architecture: imports run one way, files stay small, and every module has its place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "bayes_personal"

# Low to high: a module imports only from layers below its own. "priors.*" is every method, "families.*" every
# likelihood, "" the package as users import it; modules of one layer do not know each other.
LAYERS = [
    ("errors",),
    ("arguments", "conjugate", "distributions", "datasets", "functions", "gaps", "memory", "moments", "names",
     "running", "sealing", "separation", "stacking", "statement", "syntax", "writing"),
    ("expression", "parameter"),
    ("formula",),
    ("determinantal", "hyperprior"),
    ("cluster", "data", "graph", "rows"),
    ("comma_separated", "files"),
    ("stored",),
    ("terms",),
    ("context", "design", "families.counts", "priors.features"),
    ("priors.base", "families.base"),
    ("priors.divided", "priors.gate", "priors.in_context", "priors.levels", "priors.markov", "priors.spline",
     "families.measurements", "families.rates"),
    ("priors.*", "families.*"),
    ("families", "priors"),
    ("bound", "learning"),
    ("inference.draws", "inference.groups", "inference.statistics", "inference.mode", "inference.marginal",
     "inference.machine", "inference.segments", "inference.start", "inference.changes"),
    ("inference.line",),
    ("inference.tape", "inference.lapack", "inference.elementary"),
    ("inference.count_factors",),
    ("inference.segment_factors",),
    ("inference.partition_sums", "inference.segment_normal", "inference.segment_counts"),
    ("inference.partition_left_out", "inference.tree_sums"),
    ("inference.partition", "inference.boxes"),
    ("inference.trees",),
    ("inference.divisions",),
    ("inference.elimination",),
    ("inference.kernel",),
    ("inference.sparse",),
    ("inference.field_posterior",),
    ("inference.collapsed", "inference.markov"),
    ("inference.summed", "inference.redrawn"),
    ("inference.evidence", "inference.footprint"),
    ("inference.program", "inference.information"),
    ("inference.whitened",),
    ("model",),
    ("specification",),
    ("arrow",),
    ("inference.proposal",),
    ("inference.importance",),
    ("inference.group_integral", "inference.invariance"),
    ("inference.left_out",),
    ("inference.nuts", "inference.advi"),
    ("inference.laplace",),
    ("inference.stages",),
    ("inference",),
    ("diagnostics", "summary", "storage"),
    ("extrapolation", "few_shot", "refit", "theta"),
    ("residual_check",),
    ("posterior",),
    ("borrowed", "changes", "invariance", "predict", "responsibilities", "simulate", "question"),
    ("loo",),
    ("compare",),
    ("profile",),
    ("plots",),
    ("report",),
    ("",),
    ("cli",),
    ("__main__",),
]
NAMED = {name for layer in LAYERS for name in layer}
VAGUE = {"utils", "util", "core", "common", "helpers", "misc"}


def name_of(path: Path) -> str:
    """`priors/base.py` is priors.base; `priors/__init__.py` is priors."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def place(module: str) -> int | None:
    """The layer of a module, by its own name or by that of its folder."""
    for known in (module, f"{module.split('.')[0]}.*"):
        if known in NAMED:
            return next(rank for rank, layer in enumerate(LAYERS) if known in layer)
    root = module.split(".")[0]
    return place(root) if root in ("plots", "report", "datasets") and root != module else None


def imports(path: Path) -> Iterator[str]:
    """The modules of this package that a file imports, wherever in the file it does."""
    package = ("bayes_personal", *name_of(path).split("."))[: None if path.name == "__init__.py" else -1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            stem = ".".join(part for part in (base, node.module or "") if part)
            found = [f"{stem}.{alias.name}" for alias in node.names]
        else:
            continue
        for full in found:
            root, _, inner = full.partition(".")
            if root == "bayes_personal":
                # Of "context.learn" the module is "context"; `from bayes_personal import context` is that one too.
                while inner and inner not in MODULES:
                    inner = inner.rpartition(".")[0]
                yield inner


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_its_place(module: str) -> None:
    assert place(module) is not None, f"{module} has no place: say in LAYERS of tests/test_layers.py what lies below it"


@pytest.mark.parametrize("module", MODULES)
def test_no_arrow_runs_back(module: str) -> None:
    rank = place(module)
    assert rank is not None
    for target in imports(MODULES[module]):
        below = place(target)
        assert below is not None and (below < rank or target == module), (
            f"{module} imports {target or 'the whole package'}, which does not lie below it")


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith(("priors.", "families."))])
def test_priors_and_families_do_not_know_each_other(module: str) -> None:
    other = "families" if module.startswith("priors.") else "priors"
    assert not [name for name in imports(MODULES[module]) if name.split(".")[0] == other]


@pytest.mark.parametrize("module", MODULES)
def test_the_engine_never_imports_its_specification_or_the_tests(module: str) -> None:
    nodes = list(ast.walk(ast.parse(MODULES[module].read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
    assert not {name.split(".")[0] for name in names} & {"models", "tests", "conftest"}


@pytest.mark.parametrize("module", MODULES)
def test_a_file_is_small_and_named_for_what_it_does(module: str) -> None:
    assert len(MODULES[module].read_text().splitlines()) < 400
    assert module.split(".")[-1] not in VAGUE


@pytest.mark.parametrize("module", [name for name in MODULES if name != "errors"])
def test_warnings_name_the_line_of_a_user(module: str) -> None:
    """Of `warnings.warn` each caller would have to count the frames up to the user's."""
    assert "warnings.warn(" not in MODULES[module].read_text(), f"{module}: warn with bayes_personal.errors.warn"


def test_the_reader_of_imports_sees_all_kinds_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it blind, everything above would pass."""
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    file = tmp_path / "priors" / "new.py"
    file.parent.mkdir()
    file.write_text("from bayes_personal import context\nfrom bayes_personal.priors.population import Population\n"
                    "import bayes_personal.model\nfrom .base import Prior\nfrom .. import data\n"
                    "def late():\n    from bayes_personal.families import Normal\n    from numpy import array\n")
    assert sorted(imports(file)) == ["context", "data", "families", "model", "priors.base", "priors.population"]
