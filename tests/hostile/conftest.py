"""The real server, attacked."""

from tests.e2e.conftest import server, start_server

__all__ = ["server", "start_server"]
