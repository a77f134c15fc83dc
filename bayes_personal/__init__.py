"""Bayesian models in which every sample has its own parameters: one prior per sharing assumption."""

from bayes_personal.datasets import datasets, load_dataset
from bayes_personal.hyperprior import Hyperprior

__all__ = ["Hyperprior", "datasets", "load_dataset"]
