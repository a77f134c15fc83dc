"""Groups within groups: labels that restart are crossed unless they are made distinct, and every statement says so."""

import re

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.errors import BayesPersonalError, InputError, InputTypeError, SpecificationError

CROSSED = bp.PartialPooling("school") + bp.PartialPooling("class")


@pytest.fixture
def frame() -> pd.DataFrame:
    """Classes 1 to 3 in each of four schools, two rows each."""
    rows = [(f"s{school}", room) for school in range(4) for room in (1, 2, 3) for _ in range(2)]
    return pd.DataFrame(rows, columns=["school", "class"]).assign(y=np.random.default_rng(1).normal(size=len(rows)))


def written(said: str, frame: pd.DataFrame) -> tuple[pd.DataFrame, bp.Population]:
    """The frame and the prior of a remedy, as it is written."""
    found = re.search(r"write (frame\.assign\(.*\)) and (PartialPooling\(.*?\) \+ PartialPooling\(.*?\))", said)
    assert found is not None, said
    return (eval(found[1], {"frame": frame}), eval(found[2], {"PartialPooling": bp.PartialPooling}))


@pytest.mark.parametrize("name", ["class", "class room"])
def test_the_statement_says_that_equal_labels_share_an_effect_and_how_to_nest_them(name: str,
                                                                                   frame: pd.DataFrame) -> None:
    frame = frame.rename(columns={"class": name})
    model = bp.Model("y ~ 1", bp.PartialPooling("school") + bp.PartialPooling(name))
    posterior = bp.fit(model, frame, seed=1, progress=False, method=bp.Laplace(draws=25))
    for said in (repr(model), repr(posterior)):
        assert f"rows with equal labels of {name!r} share its effect whatever their 'school'" in said
    again, prior = written(repr(model), frame)
    sizes = [term.size for term in bp.Model("y ~ 1", prior).bind(again).terms]
    assert sizes == [4, 12] and [term.size for term in posterior.bound.terms] == [4, 3]


def test_one_grouping_says_nothing_of_others() -> None:
    for prior in (bp.PartialPooling("school"), bp.PartialPooling("school") + bp.LinearVarying("age")):
        assert "equal labels" not in repr(bp.Model("y ~ 1", prior))


TRIED = {
    "list": (lambda: bp.PartialPooling(["school", "class"]), InputTypeError),
    "tuple": (lambda: bp.Conditional(("school", "class")), InputTypeError),
    "slash": (lambda: bp.PartialPooling("school/class"), InputError),
    "colon": (lambda: bp.MetaLearned("school:class"), InputError),
    "two arguments": (lambda: bp.PartialPooling("school", "class"), SpecificationError),
}


@pytest.mark.parametrize("case", TRIED)
def test_grouping_by_two_columns_is_answered_with_what_to_write(case: str, frame: pd.DataFrame) -> None:
    make, kind = TRIED[case]
    with pytest.raises(BayesPersonalError) as caught:
        bp.Model("y ~ 1", make()).bind(frame)
    assert isinstance(caught.value, kind)
    again, prior = written(str(caught.value), frame)
    assert [term.size for term in bp.Model("y ~ 1", prior).bind(again).terms] == [4, 12]
