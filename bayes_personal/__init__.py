"""Bayesian models in which every sample has its own parameters: one prior per sharing assumption."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayes_personal import errors as errors
    from bayes_personal import families as families
    from bayes_personal import priors as priors
    from bayes_personal.borrowed import borrowed
    from bayes_personal.changes import changes
    from bayes_personal.compare import compare
    from bayes_personal.datasets import datasets, load_dataset
    from bayes_personal.families import Bernoulli, Binomial, NegativeBinomial, Normal, Poisson, StudentT
    from bayes_personal.hyperprior import Hyperprior
    from bayes_personal.inference.advi import ADVI
    from bayes_personal.inference.laplace import Laplace
    from bayes_personal.inference.nuts import NUTS
    from bayes_personal.invariance import invariance
    from bayes_personal.loo import log_likelihood, loo
    from bayes_personal.model import Model
    from bayes_personal.plots import plot_comparison, plot_pareto_k, plot_predictive, plot_theta
    from bayes_personal.posterior import Posterior, fit, load
    from bayes_personal.predict import predict
    from bayes_personal.priors import (
        Conditional,
        Contextualized,
        DistanceRegularized,
        FineTuned,
        GaussianProcess,
        Invariant,
        LinearVarying,
        MetaLearned,
        Mixture,
        PartialPooling,
        Partition,
        Population,
        Repulsive,
        TotalVariation,
        Transfer,
        TreePartition,
    )
    from bayes_personal.report import report
    from bayes_personal.responsibilities import responsibilities
    from bayes_personal.simulate import simulate

__all__ = [
    "ADVI", "NUTS", "Bernoulli", "Binomial", "Conditional", "Contextualized", "DistanceRegularized", "FineTuned",
    "GaussianProcess", "Hyperprior", "Invariant", "Laplace", "LinearVarying", "MetaLearned", "Mixture", "Model",
    "NegativeBinomial", "Normal", "PartialPooling", "Partition", "Poisson", "Population", "Posterior", "Repulsive",
    "StudentT", "TotalVariation", "Transfer", "TreePartition", "borrowed", "changes", "compare", "datasets", "fit",
    "invariance", "load", "load_dataset", "log_likelihood", "loo", "plot_comparison", "plot_pareto_k",
    "plot_predictive", "plot_theta", "predict", "report", "responsibilities", "simulate",
]

# Each name is imported when it is first asked for: what samples and what draws take long to import.
_MODULES = ("errors", "families", "priors")
_HOMES = {name: module for module, names in {
    "borrowed": ("borrowed",),
    "changes": ("changes",),
    "compare": ("compare",),
    "datasets": ("datasets", "load_dataset"),
    "families": ("Bernoulli", "Binomial", "NegativeBinomial", "Normal", "Poisson", "StudentT"),
    "hyperprior": ("Hyperprior",),
    "inference.advi": ("ADVI",),
    "inference.laplace": ("Laplace",),
    "inference.nuts": ("NUTS",),
    "invariance": ("invariance",),
    "loo": ("log_likelihood", "loo"),
    "model": ("Model",),
    "plots": ("plot_comparison", "plot_pareto_k", "plot_predictive", "plot_theta"),
    "posterior": ("Posterior", "fit", "load"),
    "predict": ("predict",),
    "priors": ("Conditional", "Contextualized", "DistanceRegularized", "FineTuned", "GaussianProcess", "Invariant",
               "LinearVarying", "MetaLearned", "Mixture", "PartialPooling", "Partition", "Population", "Repulsive",
               "TotalVariation", "Transfer", "TreePartition"),
    "report": ("report",),
    "responsibilities": ("responsibilities",),
    "simulate": ("simulate",),
}.items() for name in names}


class _Package(ModuleType):
    """The package as a module whose verbs stay what they are where modules have the same name."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Import binds a module to its name in the package, at any time: `loo`, once bayes_personal.loo is imported.
        if name not in _HOMES or not isinstance(value, ModuleType):
            super().__setattr__(name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickles know modules by their exact type; a function that mentions this one reaches other processes so.
        return import_module, (self.__name__,)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__])
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


sys.modules[__name__].__class__ = _Package
