"""How many examples the property tests draw: NEOCOG_TEST_PROFILE=thorough for many and new ones, else few and fixed."""

import os

from hypothesis import HealthCheck, settings

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)

settings.register_profile(
    "ci", max_examples=30, deadline=None, derandomize=True, print_blob=True, suppress_health_check=SLOW
)
settings.register_profile("thorough", max_examples=600, deadline=None, print_blob=True, suppress_health_check=SLOW)
settings.load_profile(os.environ.get("NEOCOG_TEST_PROFILE", "ci"))
