"""The command line: every command on small data, and what it says of bad input."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

import bayes_personal as bp
from bayes_personal.cli.commands import ASSUMPTIONS, app
from bayes_personal.cli.screen import interval
from bayes_personal.cli.tables import read
from bayes_personal.errors import InputError, InputWarning

QUICK = "NUTS(draws=50, tune=100, chains=2)"
FORMULA = "reaction ~ days"
POOLED = 'PartialPooling("subject")'


def run(*arguments: object) -> Result:
    """A command, as typed."""
    return CliRunner().invoke(app, [str(each) for each in arguments])


def refused(*arguments: object) -> str:
    """What a command that must end with an error of ours says: one line, exit code 2, nothing else."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert result.stdout == ""
    return result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sleep study as files, in which labels look like numbers, and a posterior that `fit` saved."""
    made = tmp_path_factory.mktemp("cli")
    sleep = bp.load_dataset("sleepstudy")
    sleep.to_csv(made / "sleep.csv", index=False)
    sleep.to_parquet(made / "sleep.parquet", index=False)
    (made / "new.csv").write_text("days,subject\n3,308\n3,new\n12,309\n")
    result = run("fit", made / "sleep.csv", FORMULA, "--prior", POOLED, "--method", QUICK, "--seed", 1,
                 "--out", made / "sleep.nc")
    assert result.exit_code == 0, result.output
    (made / "said.txt").write_text(result.stdout, encoding="utf-8")
    return made


def test_help_names_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in ("demo", "fit", "compare", "predict", "report", "datasets"):
        assert f" {command} " in result.stdout


def test_the_package_runs_as_a_module() -> None:
    result = subprocess.run([sys.executable, "-m", "bayes_personal", "datasets"], capture_output=True, text=True,
                            encoding="utf-8", check=True)
    assert all(name in result.stdout for name in bp.datasets()["name"])


def test_fit_says_its_story_diagnostics_and_theta(folder: Path) -> None:
    said = (folder / "said.txt").read_text(encoding="utf-8")
    posterior = bp.load(folder / "sleep.nc")
    assert posterior.model == bp.Model(FORMULA, bp.PartialPooling("subject"))
    assert posterior.theta.sizes["chain"] == 2 and posterior.theta.sizes["draw"] == 50
    assert said.startswith(repr(posterior.model))
    assert str(posterior.diagnostics) in said
    assert ("DO NOT TRUST" in said) == bool(posterior.complaints)
    theta = posterior.theta_frame()
    first = theta[theta["coefficient"] == "days"]["mean"].iloc[0]
    (line,) = [line for line in said.splitlines() if line.split()[:2] == ["308", "days"]]
    assert line.split()[2] == f"{first:.4g}"
    assert "10 of 36 rows" in said


def test_fit_without_context_or_file_prints_one_theta() -> None:
    result = run("fit", "dataset:sleepstudy", FORMULA, "--method", QUICK, "--seed", 1)
    assert result.exit_code == 0, result.output
    assert sum("Intercept" in line and line.lstrip().startswith("0") for line in result.stdout.splitlines()) == 1
    assert "Saved" not in result.stdout


def test_the_same_rows_whatever_the_file(folder: Path) -> None:
    expected = bp.load_dataset("sleepstudy")
    for source in ("sleepstudy", "dataset:sleepstudy", str(folder / "sleep.parquet")):
        pd.testing.assert_frame_equal(read(source), expected)
    pd.testing.assert_frame_equal(read(str(folder / "sleep.csv")), expected.astype({"subject": "int64"}))


def test_csv_dates_missing_values_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "visits.csv"
    path.write_text("day,site,dose\n2024-03-01,007,1.5\n2024-03-02,,\n")
    frame = read(str(path))
    assert list(frame["day"]) == [pd.Timestamp("2024-03-01"), pd.Timestamp("2024-03-02")]
    assert pd.isna(frame["dose"][1]) and pd.isna(frame["site"][1])
    # A label is a training label where it reads like one, text with leading zeros or number beside text.
    text = read(str(path), pd.DataFrame({"site": ["007", "008"]}))
    assert text["site"][0] == "007" and pd.isna(text["site"][1])
    path.write_text("site\n7\nnew\n")
    assert list(read(str(path), pd.DataFrame({"site": [7, 8]}))["site"]) == [7, "new"]


def test_a_word_that_is_read_as_missing_is_named(tmp_path: Path) -> None:
    """NA is Namibia, and Null a surname."""
    path = tmp_path / "countries.csv"
    path.write_text("country,dose\nDE,1.5\nNA,NA\n,2\nFR,3\n")
    with pytest.warns(InputWarning, match="'NA' in column 'country' stands for a missing value") as found:
        frame = read(str(path))
    assert len(found) == 1 and frame["country"].isna().tolist() == [False, True, True, False]


def test_identifiers_with_leading_zeros_stay_apart(tmp_path: Path) -> None:
    """A single one makes its column text, also where the rows to predict at have none."""
    path, words = tmp_path / "subjects.csv", ["1", "01", "001", "00007", "10"]
    path.write_text("id,half,dose,zero\n" + "".join(f"{word},0.5,{row},0\n" for row, word in enumerate(words)))
    frame = read(str(path))
    assert frame["id"].tolist() == words
    assert frame.dtypes.astype(str).to_dict() == {"id": "str", "half": "float64", "dose": "int64", "zero": "int64"}
    new = tmp_path / "new.csv"
    new.write_text("id,dose\n1,03\n10,4\n")
    assert read(str(new), frame)["id"].tolist() == ["1", "10"]
    # What were numbers in training are numbers.
    assert read(str(new), frame)["dose"].tolist() == [3, 4]
    new.write_text("id\n01\n00007\n")
    of_categories = read(str(new), frame.astype({"id": "category"}))
    assert of_categories["id"].tolist() == ["01", "00007"]
    path.write_text('id,site\n"-01",0.5\n2,00.5\n')
    assert read(str(path)).to_dict("list") == {"id": ["-01", "2"], "site": ["0.5", "00.5"]}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_predict_writes_what_the_verb_returns(folder: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"predicted.{suffix}"
    result = run("predict", folder / "sleep.nc", folder / "new.csv", "--kind", "outcome", "--seed", 3, "--out", out)
    assert result.exit_code == 0, result.output
    new = pd.DataFrame({"days": [3, 3, 12], "subject": [308, "new", 309]})
    expected = bp.predict(bp.load(folder / "sleep.nc"), new, kind="outcome", seed=3).frame()
    found = pd.read_csv(out) if suffix == "csv" else pd.read_parquet(out)
    assert list(found["row"]) == [0, 1, 2]
    assert list(found["subject_status"]) == ["known", "new", "known"]
    for name in ("mean", "sd", "q5", "q50", "q95"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_is_written_whole_or_not_at_all(suffix: str, folder: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    out = tmp_path / f"predicted.{suffix}"
    out.write_text("the old table")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        result = run("predict", folder / "sleep.nc", folder / "new.csv", "--out", out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.exit_code == 2 and "what stood there is untouched" in result.stderr
    assert out.read_text() == "the old table" and list(tmp_path.iterdir()) == [out]


def test_out_is_checked_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No work is done: sampling, comparing and loading would fail here."""
    for verb in ("fit", "compare", "load"):
        monkeypatch.delattr(bp, verb)
    (tmp_path / "pipe.html").symlink_to("/dev/null")
    saved = tmp_path / "sleep.nc"
    commands = {".nc": ("fit", "sleepstudy", FORMULA), ".csv": ("compare", "sleepstudy", FORMULA, "--prior", POOLED),
                ".parquet": ("predict", saved, "sleepstudy"), ".html": ("report", saved)}
    for suffix, command in commands.items():
        out = tmp_path / f"out{suffix}"
        out.mkdir()
        assert "it is a folder" in refused(*command, "--out", out)
        assert "there is no folder" in refused(*command, "--out", tmp_path / "none" / f"a{suffix}")
    assert "no regular file" in refused("demo", "--out", tmp_path / "pipe.html")
    assert "no regular file" in refused("report", tmp_path / "sleep.nc", "--out", tmp_path / "pipe.html")


def test_theta_has_a_row_a_coefficient(folder: Path, tmp_path: Path) -> None:
    result = run("predict", folder / "sleep.nc", folder / "new.csv", "--kind", "theta", "--out", tmp_path / "theta.csv")
    assert result.exit_code == 0, result.output
    assert list(pd.read_csv(tmp_path / "theta.csv")["coefficient"]) == ["Intercept", "days"] * 3


def test_report_is_a_page(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "sleep.html"
    result = run("report", folder / "sleep.nc", "--out", page, "--seed", 1)
    assert result.exit_code == 0, result.output
    assert str(page) in result.stdout
    text = page.read_text(encoding="utf-8")
    assert text.lstrip().lower().startswith("<!doctype html") and "subject_effect" in text


def test_compare_prints_and_writes_the_table(tmp_path: Path) -> None:
    out = tmp_path / "table.csv"
    result = run("compare", "sleepstudy", FORMULA, "--prior", "Population()", "--prior", POOLED, "--method",
                 "Laplace(draws=500)", "--seed", 1, "--out", out)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out)
    # 90 points of elpd apart, 20 of them the standard error.
    assert list(table["assumption"]) == ["PartialPooling('subject')", "Population()"]
    assert list(table["verdict"].str.split(";").str[0]) == ["best", "worse"]
    assert "its own theta_i integrated out" in result.stdout and f"{table['elpd'][0]:.1f}" in result.stdout


def test_compare_by_what_is_left_out(tmp_path: Path) -> None:
    out = tmp_path / "table.parquet"
    result = run("compare", "sleepstudy", FORMULA, "--prior", "Population()", "--prior", 'Conditional("subject")',
                 "--method", QUICK, "--seed", 1, "--kind", "conditional", "--out", out)
    assert result.exit_code == 0, result.output
    assert set(pd.read_parquet(out)["conditioning"]) == {"conditional"}
    assert "CONDITIONAL" in result.stdout


def test_demo_compares_shows_who_differs_and_reports(tmp_path: Path) -> None:
    result = run("demo", "--out", tmp_path / "made", "--draws", 100)
    assert result.exit_code == 0, result.output
    for prior, words in ASSUMPTIONS.items():
        assert repr(prior) in result.stdout and words in result.stdout
    assert f"Report of PartialPooling('subject'): {(tmp_path / 'made' / 'sleep.html').resolve()}" in result.stdout
    rows = {cells[0]: cells for cells in map(str.split, result.stdout.splitlines())
            if len(cells) == 6 and cells[0].isdigit()}
    # The subjects of the least and greatest least-squares slopes, far apart beside their errors.
    assert rows["335"][5] == "below" and rows["308"][5] == "above"
    assert float(rows["335"][2]) < float(rows["335"][1]) < float(rows["335"][3]) < float(rows["308"][2])
    page = (tmp_path / "made" / "sleep.html").read_text(encoding="utf-8")
    assert "Population()" in page and "GaussianProcess" in page


def test_an_interval_is_drawn_to_scale() -> None:
    assert interval(0.0, 0.5, 1.0, 10) == "─────●─────"
    assert interval(0.2, 0.3, 0.5, 10) == "··─●──·····"


def test_missing_files_columns_and_folders_are_named(folder: Path) -> None:
    assert "There is no file and no dataset 'sleepstud'. Did you mean 'sleepstudy'?" in refused(
        "fit", "sleepstud", FORMULA)
    assert "There is no dataset 'sleepstud'" in refused("fit", "dataset:sleepstud", FORMULA)
    assert "no column 'day'. Did you mean 'days'?" in refused("fit", "sleepstudy", "reaction ~ day")
    assert "no column 'subjct'. Did you mean 'subject'?" in refused(
        "fit", "sleepstudy", FORMULA, "--prior", 'PartialPooling("subjct")')
    assert "'reaction ~~ days' cannot be read" in refused("fit", "sleepstudy", "reaction ~~ days")
    assert "need two or more" in refused("compare", "sleepstudy", FORMULA, "--prior", "Population()")
    assert "nowhere.nc" in refused("predict", "nowhere.nc", folder / "new.csv")
    assert "sleep.csv" in refused("report", folder / "sleep.csv", "--out", folder / "page.html")
    new = folder / "without.csv"
    new.write_text("days\n1\n")
    assert "no column 'subject'" in refused("predict", folder / "sleep.nc", new)


UNREADABLE = {
    "rows.txt": (b"a,b\n1,2\n", "ends in .txt"),
    "rows": (b"a,b\n1,2\n", "ends in no suffix"),
    "empty.csv": (b"", "cannot be read"),
    "ragged.csv": (b"a,b\n1,2,3\n", "cannot be read"),
    "latin.csv": ("site,a\nZürich,1\n".encode("latin-1"), "'site' is not UTF-8"),
    "semicolons.csv": (b"a;b\n1,5;2\n", "separated by semicolons"),
    "tabs.csv": (b"a\tb\n1\t2\n", "separated by tabs"),
    "marked.csv": ("a,b\n1,2\n".encode("utf-16"), "looks like UTF-16"),
    "unmarked.csv": ("a,b\n1,2\n".encode("utf-16-be"), "looks like UTF-16"),
    "rows.parquet": (b"no", "cannot be read"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_cannot_be_read_is_an_error(name: str, tmp_path: Path) -> None:
    content, words = UNREADABLE[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        read(str(tmp_path / name))


def test_where_nothing_can_be_written_nothing_is_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(*_: object, **__: object) -> None:
        raise AssertionError("fitted before the file was checked")

    monkeypatch.setattr(bp, "fit", fit)
    monkeypatch.setattr(bp, "compare", fit)
    assert "there is no folder" in refused("fit", "sleepstudy", FORMULA, "--out", tmp_path / "no" / "sleep.nc")
    assert "must end in .nc" in refused("fit", "sleepstudy", FORMULA, "--out", tmp_path / "sleep.csv")
    assert "must end in .csv or .parquet" in refused("compare", "sleepstudy", FORMULA, "--prior", "Population()",
                                                     "--prior", POOLED, "--out", tmp_path / "table.xlsx")


def test_a_warning_is_one_line_on_the_error_stream(folder: Path) -> None:
    trained = bp.load(folder / "sleep.nc")
    assert trained.bound.frame["subject"].dtype == "int64"
    path = folder / "typed.parquet"
    pd.DataFrame({"days": [1], "subject": ["308"]}).to_parquet(path)
    result = run("predict", folder / "sleep.nc", path)
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("Warning: ") and "308" in result.stderr and result.stderr.count("\n") == 1


def test_warnings_of_others_pass(monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder) -> None:
    table = bp.datasets()

    def warned() -> pd.DataFrame:
        warnings.warn("something else", UserWarning, stacklevel=2)
        return table

    monkeypatch.setattr(bp, "datasets", warned)
    assert run("datasets").stderr == ""
    assert [str(each.message) for each in recwarn] == ["something else"]


def test_a_bug_shows_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(bp, "fit", broken)
    result = run("fit", "sleepstudy", FORMULA)
    assert isinstance(result.exception, RuntimeError) and result.exit_code == 1
