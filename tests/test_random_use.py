"""A slice of random use, of models that need no compilation; the slow suite has all of them."""

from hypothesis import HealthCheck, settings
from random_use import RandomUse


class WithoutCompiling(RandomUse):
    """Models whose weights integrate out."""

    explicit = False


TestRandomUse = WithoutCompiling.TestCase
TestRandomUse.settings = settings(max_examples=6, stateful_step_count=8, deadline=None, database=None,
                                  derandomize=True, suppress_health_check=list(HealthCheck))
