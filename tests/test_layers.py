"""The architecture: rooms in an order, imports that run one way, small files."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import bayes_personal as bp

PACKAGE = Path(__file__).parents[1] / "bayes_personal"

# Low to high: a module imports only from rooms below its own, and from its own room without circles. The last that fits
# is a module's room: "families" are the files of that folder which no other room has.
ROOMS = [
    "errors", "system", "kernels", "data", "formulas", "hyperpriors", "families.parts", "families",
    "priors.divisions", "priors.parts", "priors", "binding",
    "densities.marginal", "densities.gaussian", "densities.field", "densities.walk",
    "densities.linearised", "densities",
    "model", "samplers", "posterior", "questions", "leaving_out", "pages", "testing", "", "cli", "__main__",
]
VAGUE = {"utils", "util", "core", "common", "helpers", "misc"}


def name_of(path: Path) -> str:
    """`priors/base.py` is priors.base; `priors/__init__.py` is priors."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room(module: str) -> str | None:
    """Where a module lives: in the innermost of `ROOMS` that holds it."""
    parts = module.split(".")
    return next((name for end in range(len(parts), 0, -1) if (name := ".".join(parts[:end])) in ROOMS), None)


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


def test_the_top_floor_is_the_architecture() -> None:
    """Twenty rooms at most, none of which is called like a verb, and each of which says what lives there."""
    top = {path.stem if path.is_file() else path.name: path for path in PACKAGE.iterdir()
           if path.suffix == ".py" or path.is_dir() and any(path.glob("*.py"))}
    assert len(top) <= 20 and set(top) == {each.split(".")[0] or "__init__" for each in ROOMS}
    assert not set(top) & set(bp.__all__)
    for path in PACKAGE.rglob("__init__.py"):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert path.parent in (PACKAGE, PACKAGE / "data" / "examples") or "\n\nEnters: " in text, path


@pytest.mark.parametrize("module", MODULES)
def test_no_arrow_runs_back(module: str) -> None:
    own = room(module)
    assert own is not None, f"{module} has no room: say in ROOMS of tests/test_layers.py what lies below it"
    for target in imports(MODULES[module]):
        other = room(target)
        assert other is not None and ROOMS.index(other) <= ROOMS.index(own), (
            f"{module} imports {target or 'the whole package'}, which does not lie below it")


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_has_no_circles(name: str) -> None:
    inside = {module: {target for target in imports(path) if target != module and room(target) == name}
              for module, path in MODULES.items() if room(module) == name}
    assert set(TopologicalSorter(inside).static_order()) == set(inside)


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) in ("priors", "families")])
def test_no_prior_or_family_knows_another(module: str) -> None:
    if "." in module:
        assert not [name for name in imports(MODULES[module]) if room(name) == room(module)]


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith(("priors.", "families."))])
def test_priors_and_families_do_not_know_each_other(module: str) -> None:
    other = "families" if module.startswith("priors.") else "priors"
    assert not [name for name in imports(MODULES[module]) if name.split(".")[0] == other]


def test_the_bound_model_knows_no_particular_prior() -> None:
    found = {target for target in imports(MODULES["binding.bound"]) if target.startswith("priors")}
    assert found and found <= {f"priors.parts.{name}" for name in ("coefficients", "division", "features", "names",
                                                                   "pieces")}


@pytest.mark.parametrize("module", [name for name in MODULES
                                    if room(name) not in ("priors", "families", "hyperpriors")])
def test_no_code_asks_which_prior_or_family_it_has(module: str) -> None:
    """Neither by a class nor by its name: objects describe themselves."""
    particular = {node.name for name, path in MODULES.items() if room(name) in ("priors", "families")
                  for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)}
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
            asked = {each.id for each in ast.walk(node.args[1]) if isinstance(each, ast.Name)}
        elif isinstance(node, ast.Compare):
            asked = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
        else:
            continue
        assert not asked & particular, f"{module}:{node.lineno} asks for {asked & particular}"


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
    file.write_text("from bayes_personal.data import context\nfrom bayes_personal.priors.population import Population\n"
                    "import bayes_personal.model.model\nfrom .parts.base import Prior\nfrom .. import errors\n"
                    "def late():\n    from bayes_personal.families import Normal\n    from numpy import array\n")
    assert sorted(imports(file)) == ["data.context", "errors", "families", "model.model", "priors.parts.base",
                                     "priors.population"]
