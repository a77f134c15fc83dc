"""A model survives as JSON: the same after, or an error that says why."""

import datetime
import inspect
import json
from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

import bayes_personal as bp
import bayes_personal.families
import bayes_personal.priors
from bayes_personal.errors import SpecificationError
from bayes_personal.families import Family
from bayes_personal.hyperpriors.hyperprior import ROLES
from bayes_personal.model.specification import decode, encode
from bayes_personal.priors import Prior, Sum

CLASSES = [kind for module in (bayes_personal.priors, bayes_personal.families)
           for kind in map(module.__dict__.get, module.__all__) if kind not in (Prior, Family, Sum)]


@dataclass(frozen=True)
class Noted(bp.Population):
    """A user's own prior, with an argument of its own."""

    note: Any = None


@dataclass(frozen=True, init=False)
class Forgetful(bp.Population):
    """A user's own prior that keeps its argument under another name."""

    kept: str

    def __init__(self, note: str) -> None:
        object.__setattr__(self, "kept", note)


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
positive_numbers = st.floats(0.01, 100)
FORMULAS = ["y ~ 1", "y ~ x", "np.log(y) ~ 0 + x * C(z)", "`my y` ~ `ä ö` + x:z"]


@st.composite
def hyperpriors(draw: st.DrawFn, positive: bool = True) -> bp.Hyperprior:
    """Any hyperprior."""
    distributions = [name for name in ROLES if not positive or bp.Hyperprior(
        name, **{argument: 1.0 for argument in ROLES[name]}).positive]
    name = draw(st.sampled_from(distributions))
    # A share between 0 and 1 has no unit.
    return bp.Hyperprior(name, relative=name != "Beta" and draw(st.booleans()), **{
        argument: draw(st.floats(-100, 100) if "location" in role else positive_numbers)
        for argument, role in ROLES[name].items()})


normals = st.builds(lambda mu, sigma, relative: bp.Hyperprior("Normal", mu=mu, sigma=sigma, relative=relative),
                    st.floats(-100, 100), positive_numbers, st.booleans())

varying = st.builds(bp.Varying, st.one_of(st.none(), st.builds(bp.LinearVarying, names)), normals)


# What annotations do not say of arguments.
levels = st.one_of(st.none(), st.lists(st.one_of(names, st.integers(0, 9)), min_size=2, max_size=4,
                                       unique=True).map(tuple))
SPECIAL = {(bp.Invariant, "inclusion"): st.floats(0.01, 0.99),
           (bp.ZeroInflatedPoisson, "zeros"): st.builds(partial(bp.Hyperprior, "Beta"), alpha=positive_numbers,
                                                        beta=positive_numbers),
           (bp.Cumulative, "levels"): levels, (bp.Categorical, "levels"): levels,
           (bp.Repulsive, "archetypes"): st.integers(1, 8), (bp.Repulsive, "strength"): st.floats(0, 0.99),
           (bp.DistanceRegularized, "metric"): st.sampled_from(["learned", ((2.0,),), ((1.0, 0.5), (0.5, 2.0))])}


def argument(annotation: Any) -> st.SearchStrategy:
    """Any value that an annotation allows."""
    if get_origin(annotation) in (Union, UnionType):
        return st.one_of(*map(argument, get_args(annotation)))
    if get_origin(annotation) is Literal:
        return st.sampled_from(get_args(annotation))
    if get_origin(annotation) in (tuple, list):
        return st.lists(argument(get_args(annotation)[0]), min_size=1, max_size=3, unique=True).map(tuple)
    return {str: names, int: st.integers(2, 20), float: positive_numbers, bool: st.booleans(), type(None): st.none(),
            datetime.date: st.dates(), Hashable: names, bp.Hyperprior: hyperpriors(), bp.Varying: varying}[annotation]


@st.composite
def parts(draw: st.DrawFn, kind: type) -> Any:
    """Any prior or family of one class, every argument varied."""
    hints, positional, named = get_type_hints(kind.__init__), [], {}
    for name, parameter in inspect.signature(kind).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            positional = draw(st.lists(argument(hints[name]), min_size=1, max_size=3, unique=True))
        else:
            # The mean of Gaussian weights is the one hyperprior of a prior that must be Normal.
            special = SPECIAL.get((kind, name), normals if name == "mean" else None)
            named[name] = draw(argument(hints[name]) if special is None else special)
    try:
        return kind(*positional, **named)
    except SpecificationError:
        reject()


def again(value: Any) -> Any:
    """What is left of a specification that went through text."""
    return decode(json.loads(json.dumps(encode(value))))


# Of a family with censoring most combinations of arguments are refused.
@pytest.mark.parametrize("kind", CLASSES)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_every_prior_and_family_survives(kind: type, data: st.DataObject) -> None:
    part = data.draw(parts(kind))
    assert again(part) == part and type(again(part)) is kind and repr(again(part)) == repr(part)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_models_survive(data: st.DataObject) -> None:
    priors = [kind for kind in CLASSES if issubclass(kind, Prior)]
    families = [kind for kind in CLASSES if issubclass(kind, Family)]
    prior = data.draw(parts(data.draw(st.sampled_from(priors))))
    for _ in range(data.draw(st.integers(0, 2))):
        prior = prior + data.draw(parts(data.draw(st.sampled_from(priors))))
    family = data.draw(parts(data.draw(st.sampled_from(families))))
    model = bp.Model(data.draw(st.sampled_from(FORMULAS)), prior=prior, family=family,
                     mean=data.draw(normals if family.log_scales(1.0) else hyperpriors(positive=False)))
    assert again(model) == model and repr(again(model)) == repr(model)


def test_a_document_is_readable() -> None:
    assert encode(bp.PartialPooling("school", on=["x"], scale=bp.Hyperprior("HalfCauchy", beta=5))) == {
        "type": "PartialPooling", "by": "school", "on": ["x"], "concentration": 2.0, "correlated": True,
        "scale": {"type": "Hyperprior", "distribution": "HalfCauchy", "relative": False, "parameters": [["beta", 5.0]]}}


@pytest.mark.parametrize("note", [None, True, 3, -0.5, float("inf"), "ü", (), ("a", (1, None)), np.int64(4),
                                  np.float64(0.1), np.str_("a"), bp.Hyperprior("HalfNormal", sigma=1)])
def test_what_a_users_own_prior_may_hold(note: Any) -> None:
    model = bp.Model("y ~ x", prior=Noted(note) + bp.PartialPooling("g"))
    assert again(model) == model


@pytest.mark.parametrize("note", [["a list"], {"a": 1}, {1}, object(), np.zeros(2), 1j, bp.NUTS()])
def test_what_a_specification_may_not_hold(note: Any) -> None:
    with pytest.raises(SpecificationError, match=type(note).__name__):
        encode(bp.Model("y ~ x", prior=Noted(note)))


def test_an_argument_without_a_field_is_refused() -> None:
    with pytest.raises(SpecificationError, match="Forgetful takes note but has no field of that name"):
        encode(Forgetful("a"))


@pytest.mark.parametrize(("document", "words"), [
    ({"type": "PartialPolling", "by": "g"}, "'PartialPolling', and no such class is known: import .* 'PartialPooling'"),
    ({"by": "g"}, "None, and no such class is known"),
    ({"type": ["Normal"]}, "no such class is known"),
    ({"type": "PartialPooling", "by": "g", "scales": 1}, "takes no 'scales'. Did you mean 'scale'"),
    ({"type": "PartialPooling"}, "PartialPooling: by is missing"),
    ({"type": "PartialPooling", "by": "g", "concentration": -1.0}, "PartialPooling refuses .*must be positive"),
    ({"type": "PartialPooling", "by": "g", "scale": 3}, "PartialPooling refuses"),
    ({"type": "GaussianProcess", "contexts": 3}, "GaussianProcess refuses"),
    ({"type": "GaussianProcess", "contexts": ["a", "b", "c", "d"]}, "4 contexts"),
    ({"type": "Hyperprior", "distribution": "HalfNormal", "parameters": [["sigma", -1.0]]}, "Hyperprior refuses"),
    ({"type": "Hyperprior", "distribution": "HalfNormal", "parameters": [["relative"]]}, "Hyperprior refuses"),
    ({"type": "Model", "formula": "y ~ x", "prior": {"type": "Normal"}}, "Model refuses .*prior"),
])
def test_documents_that_no_model_wrote(document: Any, words: str) -> None:
    with pytest.raises(SpecificationError, match=words):
        decode(document)


def test_two_classes_of_one_name() -> None:
    def another(module: str) -> type:
        return type("Twice", (bp.Population,), {"__module__": module})

    first = another("first")
    assert type(decode({"type": "Twice"})) is first
    redefined = another("first")
    assert type(decode({"type": "Twice"})) is redefined
    other = another("other")
    with pytest.raises(SpecificationError, match="2 classes of that name: first.Twice, other.Twice"):
        decode({"type": "Twice"})
    assert other is not redefined
