"""A mean that its hyperprior pins down, beside processes that have no constant of their own."""

import warnings

import pandas as pd
import pytest

import bayes_personal as bp


@pytest.mark.parametrize(("mean", "warned"), [
    (bp.Hyperprior("Normal", sigma=1e-3), True), (bp.Hyperprior("Normal", sigma=0.01, relative=True), True),
    (bp.Hyperprior("Normal", sigma=100.0), False), (None, False)])
def test_a_process_beside_a_pinned_mean_has_no_constant_and_says_so(frame: pd.DataFrame, mean, warned: bool) -> None:
    options = {} if mean is None else {"mean": mean}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        bp.Model("y ~ 1", bp.PartialPooling("site"), **options).bind(frame)
        assert not said
        model = bp.Model("y ~ 1", bp.GaussianProcess("age"), **options)
        model.bind(frame)
    assert len(said) == warned and "without the constant, which is mu's" in repr(model)
    for words in ("the mean of 'Intercept'", "GaussianProcess('age') has no constant", "Widen"):
        assert not warned or words in str(said[0].message)
