"""Random use of every prior, family and method: an hour raises no error that is not the package's own.

``pytest -m slow tests/slow/test_an_hour_of_use.py --hypothesis-seed=N`` tries other frames and verbs each time.
"""

import pytest
from hypothesis import HealthCheck, settings
from random_use import RandomUse

pytestmark = pytest.mark.slow
TestRandomUse = RandomUse.TestCase
TestRandomUse.settings = settings(max_examples=250, stateful_step_count=12, deadline=None, database=None,
                                  suppress_health_check=list(HealthCheck))
