"""p(y_i | x_i, theta_i): one file a likelihood."""

from bayes_personal.families.base import Family
from bayes_personal.families.normal import Normal

__all__ = ["Family", "Normal"]
