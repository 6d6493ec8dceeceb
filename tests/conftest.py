"""How many examples the property tests draw: NEOCOG_TEST_PROFILE=thorough for many and new ones, else few and fixed.

And on how many threads the libraries that we are compared with compute, here and in processes that tests start: on one.
"""

import os

from hypothesis import HealthCheck, settings

# Threads of PyTorch and OpenBLAS wait for each other by spinning. Where each of pytest's workers has as many as there
# are processors, most of the time of a comparison on a tiny network goes into that. (Our own threads: NEOCOG_THREADS.)
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)

settings.register_profile(
    "ci", max_examples=30, deadline=None, derandomize=True, print_blob=True, suppress_health_check=SLOW
)
settings.register_profile("thorough", max_examples=600, deadline=None, print_blob=True, suppress_health_check=SLOW)
settings.load_profile(os.environ.get("NEOCOG_TEST_PROFILE", "ci"))
