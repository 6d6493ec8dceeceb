"""What the tests of models share."""

from __future__ import annotations

from functools import partial

import pytest

from neocog.model.network import Network
from small_models import brightnesses, make_small


@pytest.fixture
def make_model():
    return partial(make_small, Network)


@pytest.fixture
def toy():
    return brightnesses()
