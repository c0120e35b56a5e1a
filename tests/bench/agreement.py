"""What one instance issued the others take, what one ended the others refuse, and what one counted the others count on."""

import httpx

from tests.bench import kinds
from tests.bench.fleet import FAILURES_PER_ADDRESS, Fleet
from tests.bench.server import HOST

ROUNDS = 3


class Disagreement(Exception):
    """An instance answered otherwise than the others' answers ask for."""


def agreed(fleet: Fleet) -> tuple[dict[str, int], list[str]]:
    """By its name how many answers of each check were as they should be, and what failed."""
    checks = {
        "refreshed_in_turns": _refreshed_in_turns,
        "revocation_seen_by_all": _revocation_seen_by_all,
        "failures_counted_together": _failures_counted_together,
    }
    answers, failures = {}, []
    for name, check in checks.items():
        asked = _Asked(fleet)
        try:
            check(asked)
        except Disagreement as disagreement:
            failures.append(f"{name}: {disagreement}")
        answers[name] = asked.answers
    return answers, failures


class _Asked:
    """The instances themselves, past nginx, each by its index; indexes begin anew after the last."""

    def __init__(self, fleet: Fleet) -> None:
        self.number = len(fleet.instances)
        self._ports = [each.port for each in fleet.instances]
        self._secret = fleet.service_secret
        self.answers = 0

    def sign_in(self, index: int) -> dict[str, str]:
        form = {"grant_type": "password", "username": kinds.username(0), "password": kinds.PASSWORD}
        return self.token(index, form)

    def refresh(self, index: int, refresh_token: str, *, status: int = 200) -> dict[str, str]:
        return self.token(index, {"grant_type": "refresh_token", "refresh_token": refresh_token}, status=status)

    def token(self, index: int, form: dict[str, str], *, status: int = 200) -> dict[str, str]:
        return self._answer(index, "/oauth/token", form | {"client_id": kinds.PUBLIC_CLIENT}, status=status)

    def ensure_active(self, index: int, access_token: str, *, is_active: bool) -> None:
        answer = self._answer(index, "/oauth/introspect", {"token": access_token}, status=200, auth=(kinds.SERVICE, self._secret))
        if answer.get("active") is not is_active:
            raise Disagreement(f"instance {index % self.number + 1} does not say active: {is_active}")

    def revoke(self, index: int, refresh_token: str) -> None:
        self._answer(index, "/oauth/revoke", {"token": refresh_token, "client_id": kinds.PUBLIC_CLIENT}, status=200)

    def fail(self, index: int, *, status: int) -> None:
        self._answer(index, "/oauth/token", {"grant_type": "client_credentials"}, status=status, auth=(kinds.SERVICE, "not the secret"))

    def _answer(self, index: int, path: str, form: dict[str, str], *, status: int, auth: tuple[str, str] | None = None) -> dict[str, str]:
        headers = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
        url = f"http://127.0.0.1:{self._ports[index % self.number]}{path}"
        answer = httpx.post(url, data=form, headers=headers, auth=auth, timeout=30)
        if answer.status_code != status:
            raise Disagreement(f"{path} of instance {index % self.number + 1} answered {answer.status_code}, not {status}")
        self.answers += 1
        found: dict[str, str] = answer.json() if answer.content else {}
        return found


def _refreshed_in_turns(asked: _Asked) -> None:
    """Each refresh token goes to the next instance, each access token to the one after that."""
    tokens = asked.sign_in(0)
    for index in range(1, ROUNDS * asked.number + 1):
        tokens = asked.refresh(index, tokens["refresh_token"])
        asked.ensure_active(index + 1, tokens["access_token"], is_active=True)


def _revocation_seen_by_all(asked: _Asked) -> None:
    tokens = asked.sign_in(0)
    asked.revoke(1, tokens["refresh_token"])
    for index in range(asked.number):
        asked.ensure_active(index, tokens["access_token"], is_active=False)
        asked.refresh(index, tokens["refresh_token"], status=400)


def _failures_counted_together(asked: _Asked) -> None:
    """Alone, each instance would let as many pass as now all of them do."""
    for index in range(FAILURES_PER_ADDRESS):
        asked.fail(index, status=401)
    for index in range(asked.number):
        asked.fail(index, status=429)
