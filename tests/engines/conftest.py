"""Tests with a real container engine and a real registry."""

import pytest

from tests.engines import machine
from tests.engines.machine import Machine


@pytest.fixture(scope="session")
def engine() -> Machine:
    """The Docker engine for tests, with a registry and a base image."""
    return machine.shared()
