"""Every prior with every family: a generative program with a finite gradient, predictions, integrated LOO."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import gamma

import bayes_personal as bp
import bayes_personal.families
import bayes_personal.priors
from bayes_personal.densities.division_density import DivisionDensity
from bayes_personal.errors import SpecificationError
from bayes_personal.families import Family
from bayes_personal.priors import Prior, Sum
from bayes_personal.samplers.draws import tree
from bayes_personal.samplers.expanding import at_point
from bayes_personal.samplers.unseen_environments import completed

NARROW = bp.Hyperprior("Normal", sigma=0.3, relative=True)
PRIORS = {"Population": bp.Population(), "Conditional": bp.Conditional("site", mean=NARROW),
          "PartialPooling": bp.PartialPooling("site"), "MetaLearned": bp.MetaLearned("site", rank=2),
          "Transfer": bp.Transfer("site", "s1"), "FineTuned": bp.FineTuned("site"), "Invariant": bp.Invariant("site"),
          "plug-in": bp.FineTuned("site", freeze="plug-in"), "target": bp.FineTuned("site", target="s1", freeze=None),
          "Mixture": bp.Mixture(3, gate="age"), "Repulsive": bp.Repulsive("age", archetypes=3),
          "Contextualized": bp.Contextualized("age", "arm", hidden=4),
          "DistanceRegularized": bp.DistanceRegularized("age", "arm", neighbors=3),
          "unsquared": bp.DistanceRegularized("age", power=1, neighbors=2),
          "LinearVarying": bp.LinearVarying("age", "arm", basis="spline"),
          "GaussianProcess": bp.GaussianProcess("age"), "TotalVariation": bp.TotalVariation("age"),
          "horseshoe": bp.TotalVariation("age", "horseshoe"), "Partition": bp.Partition("age"),
          "TreePartition": bp.TreePartition("age", "arm"), "Sparse": bp.Sparse()}
FAMILIES = {"Normal": bp.Normal(), "StudentT": bp.StudentT(), "Bernoulli": bp.Bernoulli(),
            "Binomial": bp.Binomial("trials"), "Poisson": bp.Poisson("exposure"),
            "NegativeBinomial": bp.NegativeBinomial("exposure"), "Gamma": bp.Gamma(), "LogNormal": bp.LogNormal(),
            "Weibull": bp.Weibull(), "BetaBinomial": bp.BetaBinomial("trials"), "Beta": bp.Beta(),
            "ZeroInflatedPoisson": bp.ZeroInflatedPoisson("exposure"), "Cumulative": bp.Cumulative(levels=range(3)),
            "Categorical": bp.Categorical(levels=["rail", "road", "sea"])}
POSITIVE = (bp.Gamma(), bp.LogNormal(), bp.Weibull())
# Priors whose divisions are summed out, and families under which that is exact of an intercept alone.
DIVIDED, ONE = ("Partition", "TreePartition"), ("Poisson", "Bernoulli", "Binomial")
ALL = [(name, other) for name, other in itertools.product(PRIORS, FAMILIES)]
# Why a pair does not fit: the prior says what it takes.
WHY = {(name, "Categorical"): "one linear predictor" for name in ("Invariant", "FineTuned", *DIVIDED)}
FITTING = [pair for pair in ALL if pair not in WHY]
# Another option of a prior that is tried with every family is tried with two of them.
OPTIONS, TWO = ("plug-in", "target", "unsquared", "horseshoe"), ("Normal", "Poisson")
# Families that enter a program as others do are tried with one prior of each kind: terms, choices, divisions.
ALIKE = ("Gamma", "LogNormal", "Weibull", "BetaBinomial", "Beta", "ZeroInflatedPoisson", "Cumulative", "Categorical")
KINDS = ("PartialPooling", "Mixture", "Partition")
# Divisions compile much for every family.
SLOW = [("Partition", other) for other in ALIKE if other != "Gamma"]
# So do rows that are left out of groups, of which a few families stand for all.
COMPILING = [("Partition", "StudentT"), ("Partition", "Gamma"), ("Partition", "NegativeBinomial"),
             *(("Conditional", other) for other in FAMILIES if other != "Normal"),
             *(("PartialPooling", other) for other in FAMILIES if other not in ("Normal", "Poisson", "Categorical"))]
DRAWS = 20


def pairs(slow: list[tuple[str, str]]) -> list:
    """Priors and families that fit together, some of them in the slow suite."""
    return [pytest.param(PRIORS[name], FAMILIES[other], id=f"{name}-{other}",
                         marks=[pytest.mark.slow] if (name, other) in slow else []) for name, other in FITTING
            if (name not in OPTIONS or other in TWO) and (name in KINDS or other not in ALIKE)]


def test_every_prior_and_family_is_tried() -> None:
    tried = {type(prior).__name__ for prior in PRIORS.values()}
    assert tried == set(bayes_personal.priors.__all__) - {Prior.__name__, Sum.__name__}
    assert set(FAMILIES) == set(bayes_personal.families.__all__) - {Family.__name__}


def narrow(prior: Prior) -> dict:
    """The hyperprior of the mean, where there is one."""
    return {} if prior.replaces_mean else {"mean": NARROW}


def formula(prior: Prior, family: Family) -> str:
    """With a predictor, unless the cells of counts integrate out without one only."""
    return "y ~ 1" if type(prior).__name__ in DIVIDED and type(family).__name__ in ONE else "y ~ x"


def rows(count: int = 24) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    return pd.DataFrame({"x": rng.normal(size=count), "site": [f"s{i % 4}" for i in range(count)],
                         "age": rng.uniform(20, 70, count), "arm": np.array(["a", "b", "c"])[np.arange(count) % 3],
                         "trials": rng.integers(2, 9, count), "exposure": rng.uniform(0.5, 2.0, count)})


def from_the_prior(prior: Prior, family: Family) -> bp.Posterior:
    """A posterior whose draws are those of the prior, for data made by one of them."""
    model = bp.Model(formula(prior, family), prior=prior, family=family, **narrow(prior))
    data = bp.simulate(model, rows(), seed=1).frame
    if isinstance(family, bp.Bernoulli | bp.Binomial | bp.BetaBinomial):
        data["y"] = data["y"].astype(int)
    bound = model.bind(data)
    made = [bp.simulate(model, data, seed=seed).values for seed in range(2 * DRAWS)]
    derived = bound.derived({name: np.asarray(value) for name, value in made[0].items()}, np)
    latent = bound.division.reported_dims if bound.division else {}
    values = {name: np.stack([one[name] for one in made]) for name in made[0] if name not in {*derived, *latent}}
    rng = np.random.default_rng(1)
    if bound.division and bound.division.integrates_out:
        values |= DivisionDensity(bound).draw_rest(values, 2 * DRAWS, rng)
    elif bound.division:
        density, drawn, theta = at_point(bound, np.zeros(sum(each.size for each in bound.hyperparameters))), [], []
        for point in density.points({each.name: values[each.name] for each in density.parameters}):
            (division,), (own,) = density.draw(density.hyper(point)[1], 1, rng)
            drawn, theta = [*drawn, division], [*theta, own]
        values |= density.latent(drawn, theta, values[density.parameters[0].name])
    draws = tree(bound, values, chains=2)
    if bound.elsewhere:
        draws = completed(bound, bound.elsewhere, draws, seed=1, progress=False)
    return bp.Posterior(model, bound, draws)


@pytest.mark.filterwarnings("ignore::bayes_personal.errors.InputWarning")
@pytest.mark.parametrize(("prior", "family"), pairs(SLOW))
def test_density_and_gradient_are_finite(prior: Prior, family: Family) -> None:
    whole = formula(prior, family)
    data = bp.simulate(bp.Model(whole, prior=prior, family=family, **narrow(prior)), rows(), seed=1).frame
    model = bp.Model(whole, prior=prior, family=family)
    division = model.bind(data).division
    if division is not None and not division.integrates_out:
        with pytest.raises(SpecificationError, match="no program"):
            model.pymc(data)
        return
    program = model.pymc(data)
    assert not program.potentials
    both = program.compile_fn([program.logp(), program.dlogp()], mode="FAST_COMPILE")
    value, slope = both(program.initial_point())
    assert np.isfinite(value) and np.isfinite(slope).all() and np.any(slope != 0)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("prior", "family"), pairs(SLOW + COMPILING))
def test_predictions_and_leave_one_out(prior: Prior, family: Family) -> None:
    posterior = from_the_prior(prior, family)
    new = rows(6).assign(site=["s0", "s1", "elsewhere", "elsewhere", None, "s3"])
    theta = bp.predict(posterior, new, kind="theta", seed=1).draws.to_numpy()
    mean = bp.predict(posterior, new, kind="mean", seed=1).draws.to_numpy()
    outcome = bp.predict(posterior, new, kind="outcome", seed=1).draws.to_numpy()
    assert theta.shape == (2, DRAWS, 6, len(posterior.bound.coefficients.names))
    if posterior.bound.family.labels is not None:
        np.testing.assert_allclose(mean.sum(axis=-1), 1.0)
        # That it is not the lowest level; further cuts differ between draws. Of categories, the odds of the second one.
        mean = 1 - mean[..., 0] if posterior.bound.family.ordered else mean[..., 1] / mean[..., 0]
    assert mean.shape == outcome.shape == (2, DRAWS, 6)
    if posterior.bound.family.labels is not None:
        outcome = posterior.bound.family.numbered(outcome)
    assert all(np.isfinite(each).all() for each in (theta, mean, outcome))
    first = theta[..., posterior.bound.design.predictor == 0]
    eta = (first * np.column_stack([np.ones(6), new["x"]])[:, : first.shape[-1]]).sum(axis=-1)
    # The mean is one increasing function of eta, row by row, but for what the family's own hyperparameter adds to it.
    own = posterior.tree["posterior"]
    if isinstance(family, bp.LogNormal):
        mean = mean * np.exp(-0.5 * own["sigma"].to_numpy()[..., None] ** 2)
    elif isinstance(family, bp.Weibull):
        mean = mean / gamma(1 + 1 / own["shape"].to_numpy()[..., None])
    elif isinstance(family, bp.ZeroInflatedPoisson):
        mean = mean / (1 - own["zeros"].to_numpy()[..., None])
    for row in range(6):
        increasing = mean[..., row].ravel()[np.argsort(eta[..., row].ravel())]
        assert (np.diff(increasing) >= -1e-12 * max(1.0, np.abs(increasing).max())).all()
    if family in POSITIVE:
        assert (outcome > 0).all()
    elif family == bp.Beta():
        assert ((outcome > 0) & (outcome < 1)).all()
    elif family not in (bp.Normal(), bp.StudentT()):
        assert (outcome == np.round(outcome)).all() and (outcome >= 0).all()
    if posterior.bound.second_stage is not None:
        with pytest.raises(SpecificationError, match="joint posterior; under .* there is none"):
            bp.loo(posterior, progress=False)
        return
    # Draws of the prior are no posterior, so that only what importance sampling starts from can be judged.
    with np.errstate(all="ignore"):
        assert bp.loo(posterior, refit=False, progress=False).conditioning == "unit"
    pointwise = bp.log_likelihood(posterior, progress=False)["y_left_out"].to_numpy()
    assert pointwise.shape == (2, DRAWS, 24) and np.isfinite(pointwise).all()


@pytest.mark.parametrize(("name", "other"), WHY)
def test_what_does_not_fit_says_what_does(name: str, other: str) -> None:
    data = within(FAMILIES[other], rows().assign(y=(rows()["trials"] > 4).astype(int)))
    with pytest.raises(SpecificationError, match=WHY[name, other]):
        bp.Model("y ~ x", PRIORS[name], FAMILIES[other]).bind(data)


def within(family: Family, data: pd.DataFrame) -> pd.DataFrame:
    """The same rows, whose outcomes are such as the family asks for."""
    if isinstance(family, bp.Beta):
        return data.assign(y=(data["y"] + 1) / 20)
    if family.labels is not None:
        return data.assign(y=family.labelled(data.index.to_numpy() % 3))
    return data.assign(y=data["y"] + (family in POSITIVE))


def fits(prior: Prior, family: Family) -> bool:
    """Whether a model with a predictor can be stated."""
    data = rows().assign(y=rows()["trials"] - (isinstance(family, bp.Bernoulli)) * (rows()["trials"] - 1))
    data.loc[data.index % 2 == 0, "y"] -= 1
    try:
        bp.Model("y ~ x", prior, family).bind(within(family, data))
    except SpecificationError:
        return False
    return True


@pytest.mark.filterwarnings("ignore::bayes_personal.errors.InputWarning")
def test_every_prior_goes_with_every_family_as_the_readme_says() -> None:
    refused = [(name, other) for name, other in ALL if not fits(PRIORS[name], FAMILIES[other])]
    assert set(refused) == set(WHY)
    readme = " ".join((Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8").split())
    assert "Every prior goes with every family, with two exceptions: `Varying` scales need" in readme
    assert "take no `Invariant`, `Partition` or `TreePartition`, nor the cut of `FineTuned`" in readme


def test_every_prior_and_family_has_its_line_in_the_readme() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    missing = [name for name in (*bayes_personal.priors.__all__, *bayes_personal.families.__all__)
               if name not in ("Prior", "Sum", "Family") and f"\n| `{name}(" not in readme]
    assert not missing, f"no line in the README's tables: {missing}"
