"""Bayesian models in which every sample has its own parameters: one prior per sharing assumption."""

from bayes_personal.compare import compare
from bayes_personal.datasets import datasets, load_dataset
from bayes_personal.families import Bernoulli, Binomial, NegativeBinomial, Normal, Poisson, StudentT
from bayes_personal.hyperprior import Hyperprior
from bayes_personal.inference.advi import ADVI
from bayes_personal.inference.laplace import Laplace
from bayes_personal.inference.nuts import NUTS
from bayes_personal.loo import loo
from bayes_personal.model import Model
from bayes_personal.plots import plot_comparison, plot_pareto_k, plot_predictive, plot_theta
from bayes_personal.posterior import Posterior, fit, load
from bayes_personal.predict import predict
from bayes_personal.priors import Conditional, GaussianProcess, LinearVarying, PartialPooling, Population
from bayes_personal.report import report
from bayes_personal.simulate import simulate

__all__ = [
    "ADVI", "NUTS", "Bernoulli", "Binomial", "Conditional", "GaussianProcess", "Hyperprior", "Laplace", "LinearVarying",
    "Model", "NegativeBinomial", "Normal", "PartialPooling", "Poisson", "Population", "Posterior", "StudentT",
    "compare", "datasets", "fit", "load", "load_dataset", "loo", "plot_comparison", "plot_pareto_k",
    "plot_predictive", "plot_theta", "predict", "report", "simulate",
]
