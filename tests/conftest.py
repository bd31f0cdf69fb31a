"""Fixtures that several test folders share; servers live in `tests/services`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.delivered_demo import Delivered, delivered_demo


@pytest.fixture(scope="session")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Delivered]:
    """The demonstration in a database, beside its journal; looked at, never written to."""
    with delivered_demo(tmp_path_factory.mktemp("delivery")) as found:
        yield found
