"""Memory is told before it is asked for: what the machine does not have is refused in words."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.errors import SpecificationError
from bayes_personal.samplers.footprint import footprint
from bayes_personal.system import memory

rng = np.random.default_rng(0)


def labelled(levels: int) -> pd.DataFrame:
    frame = pd.DataFrame({"c": [f"u{level}" for level in range(levels)] * 2})
    return frame.assign(x=rng.normal(size=len(frame)), y=rng.normal(size=len(frame)))


@pytest.fixture
def poor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 2e7)


@pytest.mark.parametrize(("formula", "prior"), [("y ~ 1", bp.LinearVarying("c")), ("y ~ c", bp.Population()),
                                                ("y ~ 1", bp.GaussianProcess("c"))], ids=repr)
@pytest.mark.parametrize("levels", [10_000, 50_000])
def test_a_column_of_very_many_levels_is_refused(formula: str, prior: bp.priors.Prior, levels: int) -> None:
    with pytest.raises(SpecificationError, match=rf"'c'.*{levels:,} levels.*GB.*PartialPooling\('c'\)|categorical"):
        bp.Model(formula, prior).bind(labelled(levels))


@pytest.mark.usefixtures("poor")
def test_fewer_levels_are_refused_where_memory_is_short() -> None:
    for formula, prior in (("y ~ 1", bp.LinearVarying("c")), ("y ~ c", bp.Population())):
        with pytest.raises(SpecificationError, match=r"'c' has 800 levels.*MB.*20 MB are free.*PartialPooling\('c'\)"):
            bp.Model(formula, prior).bind(labelled(800))
    assert bp.Model("y ~ 1", bp.PartialPooling("c")).bind(labelled(800)).terms[0].size == 800


@pytest.mark.usefixtures("poor")
def test_draws_are_refused_before_anything_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Normal family's groups are drawn again; those of others are stored."""
    frame = labelled(800).assign(count=rng.poisson(3, 1600))
    with pytest.raises(SpecificationError, match=r"2,000 draws of 80\d numbers.*20 MB are free.*fewer draws"):
        bp.fit(bp.Model("count ~ 1", bp.PartialPooling("c"), bp.Poisson()), frame, seed=1, progress=False)


def test_groups_that_are_integrated_out_do_not_count() -> None:
    groups = np.repeat(np.arange(50_000), 2)
    frame = pd.DataFrame({"g": groups, "x": rng.normal(size=len(groups)), "y": rng.normal(size=len(groups)),
                          "count": rng.poisson(3, len(groups))})
    normal = bp.Model("y ~ x", bp.PartialPooling("g")).bind(frame)
    poisson = bp.Model("count ~ x", bp.PartialPooling("g"), bp.Poisson()).bind(frame)
    assert footprint(normal, 4000)[1] < 1e7 and footprint(poisson, 4000)[1] > 1e10


def test_what_is_available_is_a_number_of_this_machine() -> None:
    """Less than the largest machine has, and more than this test takes."""
    assert 1e7 < memory.available() < 1e15


def test_the_limit_of_the_process_counts() -> None:
    resource = pytest.importorskip("resource")
    if not Path("/proc/self/statm").exists():
        pytest.skip("no /proc")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    free = memory.available()
    taken = resource.getpagesize() * int(Path("/proc/self/statm").read_text().split()[0])
    try:
        resource.setrlimit(resource.RLIMIT_AS, (int(taken + free / 2), hard))
        assert abs(memory.available() - free / 2) < 0.1 * free
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
