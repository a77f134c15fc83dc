"""Bayesian models in which every sample has its own parameters: one prior per sharing assumption."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayes_personal import errors as errors
    from bayes_personal import families as families
    from bayes_personal import priors as priors
    from bayes_personal.data.examples import datasets, load_dataset
    from bayes_personal.families import (
        Bernoulli,
        Beta,
        BetaBinomial,
        Binomial,
        Categorical,
        Cumulative,
        Gamma,
        LogNormal,
        NegativeBinomial,
        Normal,
        Poisson,
        StudentT,
        Weibull,
        ZeroInflatedPoisson,
    )
    from bayes_personal.families.parts.varying import Varying
    from bayes_personal.hyperpriors.hyperprior import Hyperprior
    from bayes_personal.leaving_out.comparison import compare
    from bayes_personal.leaving_out.elpd import loo
    from bayes_personal.leaving_out.for_arviz import log_likelihood
    from bayes_personal.model.model import Model
    from bayes_personal.model.network_model import Network
    from bayes_personal.pages.comparison_plots import plot_comparison, plot_pareto_k
    from bayes_personal.pages.network_plots import plot_edges, plot_network
    from bayes_personal.pages.plots import plot_predictive, plot_theta
    from bayes_personal.pages.report import report
    from bayes_personal.pages.share_plots import plot_shares
    from bayes_personal.pages.survival_plot import plot_survival
    from bayes_personal.posterior.fitting import fit, load
    from bayes_personal.posterior.network_posterior import NetworkPosterior
    from bayes_personal.posterior.pooled_posterior import PooledNetworkPosterior
    from bayes_personal.posterior.posterior import Posterior
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
        Sparse,
        TotalVariation,
        Transfer,
        TreePartition,
    )
    from bayes_personal.questions.borrowing import borrowed
    from bayes_personal.questions.change_points import changes
    from bayes_personal.questions.invariant_prediction import invariance
    from bayes_personal.questions.membership import responsibilities
    from bayes_personal.questions.network_readings import edges, network
    from bayes_personal.questions.prediction import predict
    from bayes_personal.questions.simulation import simulate
    from bayes_personal.samplers.advi import ADVI
    from bayes_personal.samplers.gibbs import Gibbs
    from bayes_personal.samplers.laplace import Laplace
    from bayes_personal.samplers.nuts import NUTS

__all__ = [
    "ADVI", "NUTS", "Bernoulli", "Beta", "BetaBinomial", "Binomial", "Categorical", "Conditional", "Contextualized",
    "Cumulative", "DistanceRegularized", "FineTuned", "Gamma", "GaussianProcess", "Gibbs", "Hyperprior", "Invariant",
    "Laplace", "LinearVarying", "LogNormal", "MetaLearned", "Mixture", "Model", "NegativeBinomial", "Network",
    "NetworkPosterior", "Normal", "PartialPooling", "Partition", "Poisson", "PooledNetworkPosterior", "Population",
    "Posterior", "Repulsive", "Sparse", "StudentT", "TotalVariation", "Transfer", "TreePartition", "Varying",
    "Weibull", "ZeroInflatedPoisson", "borrowed", "changes", "compare", "datasets", "edges", "fit", "invariance",
    "load", "load_dataset", "log_likelihood", "loo", "network", "plot_comparison", "plot_edges", "plot_network",
    "plot_pareto_k", "plot_predictive", "plot_shares", "plot_survival", "plot_theta", "predict", "report",
    "responsibilities", "simulate",
]

# Each name is imported when it is first asked for: what samples and what draws take long to import.
_MODULES = ("errors", "families", "priors")
_HOMES = {name: module for module, names in {
    "data.examples": ("datasets", "load_dataset"),
    "families": ("Bernoulli", "Beta", "BetaBinomial", "Binomial", "Categorical", "Cumulative", "Gamma", "LogNormal",
                 "NegativeBinomial", "Normal", "Poisson", "StudentT", "Weibull", "ZeroInflatedPoisson"),
    "families.parts.varying": ("Varying",),
    "hyperpriors.hyperprior": ("Hyperprior",),
    "leaving_out.comparison": ("compare",),
    "leaving_out.elpd": ("loo",), "leaving_out.for_arviz": ("log_likelihood",),
    "model.model": ("Model",), "model.network_model": ("Network",),
    "pages.network_plots": ("plot_edges", "plot_network"),
    "pages.comparison_plots": ("plot_comparison", "plot_pareto_k"),
    "pages.plots": ("plot_predictive", "plot_theta"),
    "pages.report": ("report",), "pages.share_plots": ("plot_shares",), "pages.survival_plot": ("plot_survival",),
    "posterior.fitting": ("fit", "load"), "posterior.network_posterior": ("NetworkPosterior",),
    "posterior.pooled_posterior": ("PooledNetworkPosterior",),
    "posterior.posterior": ("Posterior",),
    "priors": ("Conditional", "Contextualized", "DistanceRegularized", "FineTuned", "GaussianProcess", "Invariant",
               "LinearVarying", "MetaLearned", "Mixture", "PartialPooling", "Partition", "Population", "Repulsive",
               "Sparse", "TotalVariation", "Transfer", "TreePartition"),
    "questions.borrowing": ("borrowed",),
    "questions.change_points": ("changes",),
    "questions.invariant_prediction": ("invariance",),
    "questions.membership": ("responsibilities",),
    "questions.network_readings": ("edges", "network"),
    "questions.prediction": ("predict",),
    "questions.simulation": ("simulate",),
    "samplers.advi": ("ADVI",),
    "samplers.gibbs": ("Gibbs",),
    "samplers.laplace": ("Laplace",),
    "samplers.nuts": ("NUTS",),
}.items() for name in names}


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
