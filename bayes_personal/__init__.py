"""Bayesian models in which every sample has its own parameters: one prior per sharing assumption."""

from bayes_personal.compare import compare
from bayes_personal.datasets import datasets, load_dataset
from bayes_personal.families import Normal
from bayes_personal.hyperprior import Hyperprior
from bayes_personal.inference.nuts import NUTS
from bayes_personal.loo import loo
from bayes_personal.model import Model
from bayes_personal.posterior import Posterior, fit
from bayes_personal.predict import predict
from bayes_personal.priors import Conditional, GaussianProcess, LinearVarying, PartialPooling, Population
from bayes_personal.simulate import simulate

__all__ = ["NUTS", "Conditional", "GaussianProcess", "Hyperprior", "LinearVarying", "Model", "Normal", "PartialPooling",
           "Population", "Posterior", "compare", "datasets", "fit", "load_dataset", "loo", "predict", "simulate"]
