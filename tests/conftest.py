"""Fixtures that several test folders share; servers live in `tests/services`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.services.delivered_demo import Delivered, delivered_demo


@pytest.fixture(scope="session")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Delivered]:
    """The demonstration in a database, beside its journal; looked at, never written to."""
    with delivered_demo(tmp_path_factory.mktemp("delivery")) as found:
        yield found


# No test judges by time. CI tries the same examples each time, so that it fails for what a change did; elsewhere they
# are new ones each run.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "default")
