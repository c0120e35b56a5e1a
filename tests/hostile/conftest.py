"""The real server, attacked."""

from collections.abc import Callable

import pytest

from tests.e2e.conftest import start_server
from tests.e2e.servers import Server

__all__ = ["start_server"]


@pytest.fixture(scope="session")
def server(start_server: Callable[..., Server]) -> Server:
    """Without ceilings: they would answer, and nothing behind them."""
    return start_server(AUTH_SERVICE__ENABLE_RATE_LIMITING="false")
