"""Priors, families and methods as the command line reads them."""

from pathlib import Path

import pytest
from test_cli import FORMULA, refused

import bayes_personal as bp
from bayes_personal.cli.values import parse
from bayes_personal.errors import SpecificationError

PARSED = {
    'PartialPooling("subject", on=["days"], concentration=1)':
        bp.PartialPooling("subject", on=("days",), concentration=1),
    'bp.Population()': bp.Population(),
    ' GaussianProcess("x", "y", kernel="matern32") ': bp.GaussianProcess("x", "y", kernel="matern32"),
    'PartialPooling("site") + LinearVarying("age", on="dose") + Conditional("sex", on=("Intercept",))':
        bp.PartialPooling("site") + bp.LinearVarying("age", on="dose") + bp.Conditional("sex", on="Intercept"),
    'PartialPooling("site", scale=Hyperprior("HalfCauchy", beta=5))':
        bp.PartialPooling("site", scale=bp.Hyperprior("HalfCauchy", beta=5)),
}


@pytest.mark.parametrize("text", PARSED)
def test_priors_are_written_as_in_python(text: str) -> None:
    assert parse("prior", text) == PARSED[text]


def test_families_and_methods_are_written_as_in_python() -> None:
    assert parse("family", 'Normal(sd="se")') == bp.Normal(sd="se")
    assert parse("method", "NUTS(draws=50, collapse=False)") == bp.NUTS(draws=50, collapse=False)
    assert parse("method", "laplace") == bp.Laplace() and parse("method", " nuts") == bp.NUTS()
    assert parse("family", "Normal(sigma=Hyperprior('HalfNormal', sigma=2))") == bp.Normal(
        sigma=bp.Hyperprior("HalfNormal", sigma=2))


CODE = [
    '__import__("os").system("touch BREACH")',
    'PartialPooling(open("BREACH", "w").name)',
    'PartialPooling(__import__("pathlib").Path("BREACH").touch() or "subject")',
    'PartialPooling("subject", scale=eval("open(chr(66), chr(119))"))',
    '(lambda: Population())()',
    'Population().__class__()',
    'bp.load_dataset("radon")',
    'bp.errors.InputError("x")',
    'os.Population()',
    'load("sleep.nc")',
    'Model("a ~ b")',
    '[Population() for _ in range(2)][0]',
    'PartialPooling(f"{open(chr(66))}")',
    'PartialPooling(*["subject"])',
    'PartialPooling(**{"by": "subject"})',
    'PartialPooling((by := "subject"))',
    'PartialPooling("subject") if True else Population()',
    'Population() - Population()',
    'PartialPooling("a" + "b")',
    'PartialPooling(b"subject")',
]


@pytest.mark.parametrize("text", CODE)
def test_code_is_refused_and_never_run(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = refused("fit", "sleepstudy", FORMULA, "--prior", text)
    assert f"--prior {text!r}" in said
    assert list(tmp_path.iterdir()) == []


MALFORMED = {
    "": "is not Python",
    'PartialPooling("subject"': "never closed",
    'PartialPoolng("subject")': "Did you mean 'PartialPooling'?",
    "PartialPooling(subject)": "goes in quotes: 'subject'",
    "Population": "is called: Population()",
    'PartialPooling("subject", scal=1)': "PartialPooling takes by, on, scale, concentration, correlated.",
    "PartialPooling()": "missing a required argument: 'by'",
    'PartialPooling("subject", scale=Hyperprior("HalfCauch", beta=5))': "Did you mean 'HalfCauchy'?",
    'PartialPooling("subject", concentration=-1)': "concentration=-1",
    'PartialPooling("subject", by="days")': "multiple values for argument 'by'",
    'PartialPooling(by="subject", by="days")': "write each argument once",
    "Normal()": "is no prior",
    '"Population()"': "is no prior",
    "-" * 5000 + "1": "nested too deeply",
    "(" * 300 + ")" * 300: "too many nested parentheses",
}


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: text[:40] or "empty")
def test_a_malformed_prior_is_explained(text: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        parse("prior", text)
    assert str(caught.value).startswith("--prior ") and MALFORMED[text] in str(caught.value)


def test_each_option_takes_its_own_kind() -> None:
    assert "is no family" in refused("fit", "sleepstudy", FORMULA, "--family", "Population()")
    assert "is no method" in refused("fit", "sleepstudy", FORMULA, "--method", "Normal()")
    assert "There are: ADVI, Gibbs, Laplace, NUTS." in refused("fit", "sleepstudy", FORMULA, "--method", "Normal()")
