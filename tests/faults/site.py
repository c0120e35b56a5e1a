"""A server on a PostgreSQL that may be restarted, replaced, frozen and filled, and how long it takes to serve again."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e.calls import SIGN_IN_FORM, refresh_form
from tests.e2e.servers import Server
from tests.faults.cluster import Cluster
from tests.faults.database import Database
from tests.faults.known_sessions import copies
from tests.faults.processes import Gunicorn
from tests.faults.siege import Row, Siege

DOCUMENTS = ("/.well-known/jwks.json", "/.well-known/oauth-authorization-server")
CLIENTS = 6
ANEW = {"Connection": "close"}
# What is promised is promised of a machine that does nothing else: tests/faults/run.py asks for that. Here others run beside it.
RECOVERY_SECONDS = float(os.environ.get("RECOVERY_SECONDS") or 15)
LATEST_ANSWER_SECONDS = float(os.environ.get("LATEST_ANSWER_SECONDS") or 10)
LATEST_REFUSAL_SECONDS = float(os.environ.get("LATEST_REFUSAL_SECONDS") or 5)
REFRESH_P99_SECONDS = float(os.environ.get("REFRESH_P99_SECONDS") or 2)
JWKS_P99_SECONDS = float(os.environ.get("JWKS_P99_SECONDS") or 1.5)


@dataclass(frozen=True)
class Site:
    server: Server
    cluster: Cluster
    gunicorn: Gunicorn
    database: Database
    http: httpx.Client
    rows: list[Row]

    def row(self, fault: str) -> Row:
        """A new line of the summary."""
        row = Row(fault)
        self.rows.append(row)
        return row

    def siege(self, folder: Path) -> Siege:
        return Siege(
            port=self.server.port,
            gunicorn=self.gunicorn,
            database=self.database,
            http=self.http,
            folder=folder,
            documented=CLIENTS,
            guide=0,
        )

    def fetch(self, path: str) -> httpx.Response:
        """On a connection of its own, so that every process is asked sooner or later."""
        return self.http.get(path, headers=ANEW)

    def ask(self, form: dict[str, str] | None = None) -> httpx.Response:
        """A sign-in, or what `form` says, on a connection of its own."""
        return self.http.post("/oauth/token", data=form or SIGN_IN_FORM, headers=ANEW)

    def token(self, *, patience: float = 20.0) -> str:
        """The refresh token of a new session. On a busy machine a sign-in may be refused, and is repeated as the answer says."""
        give_up_at = time.monotonic() + patience
        while (answer := self.ask()).status_code == 503 and time.monotonic() < give_up_at:
            ensure_refusal(answer)
            time.sleep(int(answer.headers["Retry-After"]))
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["refresh_token"]
        return token

    def tokens(self, number: int) -> list[str]:
        """Those of so many sessions, of which each but one is a copy: to sign in so often takes minutes."""
        self.token()
        return copies(
            self.server.environment["AUTH_SERVICE__DB_URL"], number=number, keys=self.server.environment["AUTH_SERVICE__TOKEN_KEYS"]
        )

    def refresh(self, token: str) -> httpx.Response:
        return self.ask(refresh_form(token))

    def seconds_to_recover(self, *, patience: float = 20.0) -> float:
        """Until every process is ready and a sign-in succeeds, from now on."""
        began_at = time.monotonic()
        while not self._is_well():
            assert time.monotonic() - began_at < patience, self.server.output()[-4000:]
            time.sleep(0.02)
        return time.monotonic() - began_at

    def _is_well(self) -> bool:
        return self.ask().status_code == 200 and all(self.fetch("/ready").status_code == 200 for _ in range(4))


def ensure_refusal(answer: httpx.Response) -> None:
    """It is the one that clients repeat after: 503, with a number of seconds."""
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable"), answer.text
    assert 1 <= int(answer.headers["Retry-After"]) <= 3
