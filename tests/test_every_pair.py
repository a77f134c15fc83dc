"""Every prior with every family under pseudo-data, at the defaults of importance sampling: a fit, or a refusal."""

import numpy as np
import pytest
from pace import cases
from test_combinations import ALIKE, FAMILIES, FITTING, KINDS, rows
from test_laws import model_of

import bayes_personal as bp
from bayes_personal.densities.linearised.linearised_density import corrects
from bayes_personal.errors import SpecificationError
from bayes_personal.samplers.linearising import linearised
from bayes_personal.testing import simulated

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


OTHERS = [(prior, family) for prior, family in FITTING if family != "Normal"]
# Families that enter a fit as others do are tried with one prior of each kind.
KIND = [pair for pair in OTHERS if pair[1] not in ALIKE or pair[0] in KINDS]
# Of pairs that compile for long a few stand for all.
LONG = [*(("PartialPooling", family) for family in ALIKE if family not in ("Gamma", "Categorical")),
        *(("Conditional", family) for family in ("StudentT", "NegativeBinomial", "Binomial")),
        *(("DistanceRegularized", family) for family in ("StudentT", "NegativeBinomial", "Binomial"))]


def default_for(prior: str, family: str) -> bool:
    """Whether importance sampling under pseudo-data is their default."""
    model = model_of(prior, family)
    return corrects(model.bind(simulated(model, rows(48), 1)[0]))


def test_it_is_the_default_of_many() -> None:
    found = [pair for pair in KIND if default_for(*pair)]
    assert len({prior for prior, _ in found}) >= 8 and {family for _, family in found} == set(FAMILIES) - {"Normal"}


@pytest.mark.parametrize(("prior", "family"), cases(OTHERS, every_run=set(KIND) - set(LONG)))
def test_it_fits(prior: str, family: str) -> None:
    if not default_for(prior, family):
        pytest.skip("NUTS is the default")
    model = model_of(prior, family)
    data, _ = simulated(model, rows(48), 2)
    try:
        posterior = bp.fit(model, data, seed=1, method=bp.Laplace(fallback=False), progress=False)
    except SpecificationError as refusal:
        assert "Use NUTS()" in str(refusal)
        pytest.skip("importance sampling refuses these draws of the prior, and says so")
    assert posterior.theta.sizes["unit"] == len(data) and not posterior.complaints
    assert np.isfinite(posterior.theta.mean(("chain", "draw")).to_numpy()).all()


def test_counts_of_all_sizes_have_a_mode() -> None:
    """From 0 to thousands: a step of Newton's goes astray, from which nothing returns."""
    model = model_of("horseshoe", "Poisson")
    data, _ = simulated(model, rows(48), 1)
    density, _ = linearised(model.bind(data), np.random.default_rng(1))
    assert data["y"].min() == 0 and data["y"].max() > 1000
    assert density.pseudo.precision.max() < 2 * data["y"].max()
