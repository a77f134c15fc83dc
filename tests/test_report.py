"""The report is one escaped, self-contained file with every section, and says in red what must not be trusted."""

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.errors import FileError, InputTypeError, NotFittedError, SpecificationError
from bayes_personal.families import Bernoulli, Family, Poisson, StudentT
from bayes_personal.pages.contents import estimates, hyperpriors, near
from bayes_personal.pages.report import extremes, report
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.priors import Prior
from bayes_personal.samplers.draws import tree

pytestmark = pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")
SECTIONS = ["model", "diagnostics", "population", "theta", "predictive", "loo", "making"]
BANNER = '<div class="banner" role="alert">'


def drawn(frame: pd.DataFrame, prior: Prior, formula: str = "y ~ dose", family: Family | None = None,
          apart: float = 0.0) -> Posterior:
    """A posterior of four chains whose draws come from a narrow version of the prior; chains that lie `apart`."""
    model = bp.Model(formula, prior=prior, family=family or bp.Normal())
    bound, rng, chains, draws = model.bind(frame), np.random.default_rng(5), 4, 250
    values = {each.name: each.value(0.2 * rng.standard_normal((chains * draws, each.size)))
              for each in (*([bound.mean] if bound.mean else []), *bound.parameters)}
    if apart:
        values["sigma"] *= 1 + apart * np.repeat(np.arange(chains), draws)
    for term, one in zip(bound.terms, bound.features, strict=False):
        values[f"{term.name}_z"] = 0.2 * rng.standard_normal((chains * draws, one.matrix.shape[1], len(term.positions)))
    return Posterior(model, bound, tree(bound, values, chains))


def text(path: Path) -> str:
    """The page without its images."""
    return re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "IMAGE", path.read_text(encoding="utf-8"))


def sections(page: str) -> list[str]:
    return re.findall(r'<section id="(\w+)">', page)


def test_a_fit_is_reported_in_one_file(frame: pd.DataFrame, tmp_path: Path) -> None:
    posteriors = [bp.fit(bp.Model("y ~ dose", prior=prior), frame, seed=1, progress=False,
                         method=bp.NUTS(draws=100, tune=200, chains=2))
                  for prior in (bp.PartialPooling("site", on="Intercept"), bp.Population())]
    table = bp.compare(posteriors, progress=False)
    path = report(posteriors[0], tmp_path / "fit.html", comparison=table, seed=7)
    page = text(path)
    assert path == tmp_path / "fit.html" and path.stat().st_size < 3_000_000
    assert sections(page) == [*SECTIONS[:-1], "comparison", "making"]
    assert "http" not in page and "<script" not in page and "<link" not in page and "@import" not in page
    assert re.findall(r'src="([^"]*)"', page) == ["IMAGE"] * 4
    assert (BANNER in page) == bool(posteriors[0].complaints)
    for line in (*posteriors[0].diagnostics.words, *posteriors[0].complaints):
        assert line in page
    for line in repr(posteriors[0].model).splitlines():
        assert line.replace("'", "&#39;") in page
    assert "How well is a new row predicted" in page and "Seed of the predictive check: 7." in page
    elpd = bp.loo(posteriors[0], progress=False)
    assert f'<td>elpd</td><td class="number">{near(elpd.elpd, elpd.se)}</td>' in page
    assert sum(map(int, re.findall(r'(?:good \(|too high ).*?</td><td class="number">(\d+)', page))) == 40
    for name, row in table.iterrows():
        assert str(name).replace("'", "&#39;") in page and row["verdict"] in page


def test_what_loo_just_found_is_not_found_again(frame: pd.DataFrame, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    posterior, other = (drawn(frame, prior) for prior in (bp.Population(), bp.Conditional("site")))
    elpd = bp.loo(posterior, progress=False)
    value, elpd.elpd = elpd.elpd, np.nan
    rough = bp.loo(other, refit=False, progress=False)

    def refused(*arguments: object, **more: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(import_module("bayes_personal.leaving_out.elpd"), "loo", refused)
    page = text(report(posterior, tmp_path / "one.html", seed=1))
    assert f'<td>elpd</td><td class="number">{near(value, elpd.se)}</td>' in page
    # Without refits it is another question, and so is that of some rows.
    with pytest.raises(AssertionError, match="asked again"):
        report(other, tmp_path / "other.html")
    page = text(report(other, tmp_path / "other.html", elpd=rough, seed=1))
    assert f'<td>elpd</td><td class="number">{near(rough.elpd, rough.se)}</td>' in page
    with pytest.raises(SpecificationError, match="leaves out 40 of kind 'unit'.*each of its 20 rows"):
        report(drawn(frame.iloc[:20], bp.Population()), tmp_path / "few.html", elpd=rough)
    with pytest.raises(InputTypeError, match="a result of loo.*got float"):
        report(other, tmp_path / "other.html", elpd=rough.elpd)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_segments_that_draws_do_not_have_are_not_shared_parameters(tmp_path: Path) -> None:
    nile = bp.load_dataset("nile").iloc[20:50]
    posterior = bp.fit(bp.Model("volume ~ 1", bp.Partition("year")), nile, seed=1, progress=False,
                       method=bp.NUTS(draws=100, tune=200, chains=2))
    named = [one["name"] for one in estimates(posterior)]
    assert not any(name.startswith(tuple(posterior.bound.nonlinear[0].latent)) for name in named)
    assert "sigma" in named and report(posterior, tmp_path / "nile.html", seed=1).exists()


@pytest.mark.parametrize(("prior", "formula", "family"), [
    (bp.Population(), "y ~ dose", bp.Normal()),
    (bp.Conditional("site"), "y ~ dose", bp.Normal(sd="se")),
    (bp.PartialPooling("site"), "y ~ dose", StudentT()),
    (bp.GaussianProcess("age"), "few ~ 1", Poisson()),
    (bp.LinearVarying("age", "sex", basis="spline", df=5), "sick ~ 1", Bernoulli()),
    (bp.PartialPooling("site", on="dose") + bp.GaussianProcess("age", on="Intercept"), "y ~ dose", bp.Normal()),
], ids=repr)
def test_every_prior_and_family_has_a_report(frame: pd.DataFrame, tmp_path: Path, prior: Prior, formula: str,
                                             family: Family) -> None:
    rng = np.random.default_rng(4)
    frame = frame.assign(few=rng.poisson(2, 40), sick=rng.integers(0, 2, 40))
    page = text(report(drawn(frame, prior, formula, family), tmp_path / "one.html", seed=1))
    assert sections(page) == SECTIONS
    assert ("Nobody, by assumption" in page) == (prior == bp.Population())
    assert ("every group stands alone" in page) == isinstance(prior, bp.Conditional)
    assert "nan" not in re.sub(r"<[^>]*>", "", page)


def test_the_banner_names_every_complaint_and_only_complaints(frame: pd.DataFrame, tmp_path: Path) -> None:
    sound, broken = drawn(frame, bp.Population()), drawn(frame, bp.Population(), apart=0.5)
    assert not sound.complaints and broken.complaints
    page = text(report(sound, tmp_path / "sound.html", seed=1))
    assert BANNER not in page and "Do not trust" not in page and "Nothing speaks against these draws." in page
    page = text(report(broken, tmp_path / "broken.html", seed=1))
    (banner,) = re.findall(f"{BANNER}(.*?)</div>", page, re.DOTALL)
    assert "Do not trust" in banner and "Nothing speaks" not in page
    assert re.findall("<li>(.*?)</li>", banner) == list(broken.complaints)


def test_a_variational_fit_is_always_distrusted(frame: pd.DataFrame, tmp_path: Path) -> None:
    posterior = drawn(frame, bp.Population())
    posterior.tree["variational"] = posterior.tree["observed_data"].copy()
    posterior.tree["variational"].attrs.update(pareto_k=0.1, converged=1, iterations=100)
    page = text(report(posterior, tmp_path / "advi.html", seed=1))
    (banner,) = re.findall(f"{BANNER}(.*?)</div>", page, re.DOTALL)
    assert "standard deviations from ADVI are not calibrated" in banner
    assert all(one["r_hat"] is None and one["ess"] is None for one in estimates(posterior))


def test_names_and_labels_are_escaped(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame = frame.rename(columns={"site": "<b>site</b>", "dose": "<i>dose", "y": "<u>y"})
    frame["<b>site</b>"] = "<script>alert(1)</script>" + frame["<b>site</b>"]
    prior = bp.PartialPooling("<b>site</b>")
    posterior = drawn(frame, prior, "`<u>y` ~ `<i>dose`")
    names = ["<img src=x onerror=alert(1)>", "other"]
    table = pd.DataFrame({"elpd": [-1.0, -9.0], "se": 1.0, "difference": [0.0, -8.0], "difference_se": [0.0, 2.0],
                          "weight": [1.0, 0.0], "verdict": ["<em>best", "worse"]}, index=names)
    page = text(report(posterior, tmp_path / "hostile.html", comparison=table, seed=1))
    for hostile in ("<b>", "<script", "<i>", "<u>", "<img src=x", "<em>"):
        assert hostile not in page
        assert hostile.replace("<", "&lt;").replace(">", "&gt;") in page


def test_the_table_of_estimates_is_of_the_draws(frame: pd.DataFrame) -> None:
    posterior = drawn(frame, bp.PartialPooling("site"))
    found = {one["name"]: one for one in estimates(posterior)}
    assert set(found) == {"mu[Intercept]", "mu[dose]", "site_scale[Intercept]", "site_scale[dose]",
                          "site_correlation[dose, Intercept]", "sigma"}
    draws = posterior.tree["posterior"]["mu"].sel(coefficient="dose").to_numpy()
    one = found["mu[dose]"]
    np.testing.assert_allclose([one["mean"], one["sd"], one["low"], one["high"]],
                               [draws.mean(), draws.std(ddof=1), *np.quantile(draws, [0.05, 0.95])])
    # Independent draws: 1000 of them, within the error of estimating that.
    assert 700 < one["ess"] < 1400 and one["r_hat"] < 1.01


def test_hyperpriors_are_in_the_units_of_the_data(frame: pd.DataFrame) -> None:
    prior = bp.PartialPooling("site", scale=bp.Hyperprior("HalfCauchy", beta=5))
    stated = dict(hyperpriors(drawn(frame, prior)))
    y, dose = frame["y"].to_numpy(), frame["dose"].to_numpy()
    assert stated == {
        "mu_centered[Intercept]": f"Normal(mu = {near(y.mean())}, sigma = {near(2.5 * y.std())})",
        "mu_centered[dose]": f"Normal(mu = 0, sigma = {near(2.5 * y.std() / dose.std())})",
        "site_scale[Intercept]": "HalfCauchy(beta = 5)", "site_scale[dose]": "HalfCauchy(beta = 5)",
        "site_partial[dose ~ Intercept]": "Beta(alpha = 2, beta = 2)",
        "sigma": f"HalfNormal(sigma = {near(y.std())})"}


def test_extremes_are_the_furthest_and_the_nearest(frame: pd.DataFrame) -> None:
    frame = frame.assign(row=[f"row {i}" for i in range(40)])
    posterior = drawn(frame, bp.PartialPooling("row", on="Intercept"))
    (found,) = extremes(posterior)
    table = posterior.theta_frame()
    mean = table.loc[table["coefficient"] == "Intercept", "mean"].to_numpy()
    order = np.argsort(-np.abs(mean - mean.mean()))
    assert [one["label"] for one in found["rows"]] == [f"row {i}" for i in [*order[:5], *order[-5:]]]
    np.testing.assert_allclose([one["away"] for one in found["rows"]], (mean - mean.mean())[[*order[:5], *order[-5:]]],
                               atol=1e-9)
    assert (found["total"], found["coefficient"], found["columns"]) == (40, "Intercept", "row")
    assert extremes(drawn(frame, bp.Population())) == []


@pytest.mark.parametrize(("value", "sd", "words"), [
    (251.405, 6.8, "251.4"), (10.467, 1.546, "10.5"), (-0.00123456, 0.00012, "-0.00123"), (123456.7, 250.0, "123457"),
    (3.14159, None, "3.142"), (1e9, 1.0, "1e+09"), (5.0, 0.0, "5"), (1e-9, 1e-11, "1e-09")])
def test_numbers_keep_the_digits_that_mean_something(value: float, sd: float | None, words: str) -> None:
    assert near(value, sd) == words


def test_the_seed_is_stated_and_makes_the_same_page(frame: pd.DataFrame, tmp_path: Path) -> None:
    posterior = drawn(frame, bp.Population())
    pages = [report(posterior, tmp_path / f"{seed}.html", seed=seed).read_text() for seed in (1, 1, 2)]
    assert pages[0] == pages[1] != pages[2]
    (seed,) = re.findall(r"predictive check: (\d+)\.", text(report(posterior, tmp_path / "new.html")))
    again = report(posterior, tmp_path / "again.html", seed=int(seed))
    assert again.read_text() == (tmp_path / "new.html").read_text()


def test_a_page_is_written_whole_or_not_at_all(frame: pd.DataFrame, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    page = tmp_path / "report.html"
    page.write_text("the old page")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(FileError, match="too large.*room for .* what stood there is untouched"):
            report(drawn(frame, bp.Population()), page)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert page.read_text() == "the old page" and list(tmp_path.iterdir()) == [page]


def test_what_cannot_be_written_is_an_error_before_any_work(frame: pd.DataFrame, tmp_path: Path) -> None:
    posterior = drawn(frame, bp.Population())
    with pytest.raises(FileError, match="there is no folder"):
        report(posterior, tmp_path / "missing" / "report.html")
    with pytest.raises(FileError, match="is a folder"):
        report(posterior, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="there is no folder"):
        report(posterior, tmp_path / "file" / "report.html")
    with pytest.raises(InputTypeError, match="bp.compare returns"):
        report(posterior, tmp_path / "report.html", comparison=pd.DataFrame({"a": [1]}))
    assert not (tmp_path / "report.html").exists()
    with pytest.raises(FileError, match="Cannot write .*: File name too long"):
        report(posterior, tmp_path / f"{'x' * 300}.html", seed=1)
    with pytest.raises(NotFittedError, match="report needs the posterior that bp.fit returns; got Model"):
        report(posterior.model, tmp_path / "report.html")
