"""Clients refresh as fast as they can while workers are killed; afterwards each of them is asked what it has left."""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from jwt import InvalidTokenError

from tests.e2e.calls import refresh, verified_claims
from tests.faults.clients import App
from tests.faults.database import Database
from tests.faults.oracle import Notebook, Pair, forks, last_chain, refreshes
from tests.faults.processes import Gunicorn

DOCUMENTED, GUIDE = 8, 4  # clients that send an Idempotency-Key, and clients that do not
LEAST_KILLS = 3
KILL_EVERY_SECONDS = (0.3, 1.0)
LIMIT_SECONDS = 420

RETRIED, CAUGHT_UP = "session:refresh:retried", "session:refresh:caught_up"

_chance = secrets.SystemRandom()


@dataclass
class Outcome:
    """What was counted, and a line of evidence for each thing that must not be."""

    kills: int = 0
    seconds: float = 0
    is_complete: bool = True
    documented: Counter[str] = field(default_factory=Counter)
    guide: Counter[str] = field(default_factory=Counter)
    found_committed: int = 0
    caught_up: int = 0
    unrecorded_reuse: int = 0
    forks: int = 0
    lost: list[str] = field(default_factory=list)
    alive: list[str] = field(default_factory=list)
    miscounted: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def total(self) -> Counter[str]:
        return self.documented + self.guide

    def table(self, title: str) -> str:
        """Each number beside its meaning; those of the last part must be 0."""
        total, documented, guide = self.total, self.documented, self.guide
        counted = [
            ("refreshes acknowledged", total["refreshes"], "" if self.is_complete else "stopped by the clock"),
            ("  per second", round(total["refreshes"] / self.seconds), f"over {self.seconds:.0f} s"),
            ("workers killed", self.kills, ""),
            ("pairs received", total["pairs"], "each on the disk before it was used"),
            ("retries", total["retries"], "after a broken connection or a 5xx"),
            ("  whose refresh was committed", self.found_committed, "known by the key, and given the same successor"),
            ("  on purpose, and compared", documented["repeated"], "the answer had come"),
            ("answers 503", total["503"], ""),
            ("clients without a key logged out", guide["logged out"], f"in {guide['refreshes']} refreshes: the price of sending none"),
            ("  with no audit event", self.unrecorded_reuse, "killed between the end of the session and its record"),
        ]
        forbidden = [
            ("clients with a key logged out", documented["logged out"]),
            ("pairs lost", len(self.lost)),
            ("tokens exchanged for two", self.forks),
            ("tokens alive beside the newest", len(self.alive)),
            ("sessions that miscount refreshes", len(self.miscounted)),
            ("commits that were forgotten", self.caught_up),
            ("access tokens that do not verify", len(self.unverified)),
            ("answers 5xx other than 503", total["other 5xx"]),
            ("refusals that are no logout", total["unexpected"]),
        ]
        rows = [*counted, *((name, number, "must be 0") for name, number in forbidden)]
        return "\n".join([title, *(f"  {name:<34} {number:>7}  {note}".rstrip() for name, number, note in rows)])


class Storm:
    def __init__(
        self,
        *,
        port: int,
        gunicorn: Gunicorn,
        database: Database,
        http: httpx.Client,
        folder: Path,
        documented: int = DOCUMENTED,
        guide: int = GUIDE,
    ) -> None:
        self._gunicorn, self._database, self._http = gunicorn, database, http
        self._outcome = Outcome()
        self._refreshes_at_kill = 0
        self._apps = [
            App(port=port, notebook=Notebook(folder / f"client-{number}"), sends_keys=number < documented)
            for number in range(documented + guide)
        ]

    def rage(self, *, least: int) -> Outcome:
        """Until `least` refreshes were acknowledged and enough workers killed."""
        retried, caught_up = self._database.count(RETRIED), self._database.count(CAUGHT_UP)
        unrecorded_reuse = self._database.unrecorded_reuse()
        for app in self._apps:
            app.sign_in()
        began_at = time.monotonic()
        self._refresh_and_kill(least)
        self._outcome.seconds = time.monotonic() - began_at
        self._outcome.documented = self._sum(sends_keys=True)
        self._outcome.guide = self._sum(sends_keys=False)
        self._outcome.found_committed = self._database.count(RETRIED) - retried - self._outcome.documented["repeated"]
        for app in self._apps:
            self._examine(app)
            app.close()
            app.notebook.close()
        self._outcome.unrecorded_reuse = self._database.unrecorded_reuse() - unrecorded_reuse
        self._outcome.caught_up = self._database.count(CAUGHT_UP) - caught_up
        return self._outcome

    def _refresh_and_kill(self, least: int) -> None:
        stop, give_up_at = threading.Event(), time.monotonic() + LIMIT_SECONDS
        with ThreadPoolExecutor(len(self._apps)) as threads:
            running = [threads.submit(app.refresh_until, stop) for app in self._apps]
            try:
                while not self._is_enough(least) and not any(future.done() for future in running):
                    if time.monotonic() > give_up_at:
                        self._outcome.is_complete = False
                        break
                    time.sleep(_chance.uniform(*KILL_EVERY_SECONDS))
                    self._kill_one()
            finally:
                stop.set()
        self._outcome.complaints += [repr(future.exception()) for future in running if future.exception() is not None]

    def _is_enough(self, least: int) -> bool:
        retries = sum(app.tally["retries"] for app in self._apps)
        return self._refreshes() >= least and self._outcome.kills >= LEAST_KILLS and retries > 0

    def _kill_one(self) -> None:
        # By progress too, not by the clock alone: a slow machine, or a server of one worker, would only ever restart.
        if self._refreshes() < self._refreshes_at_kill + len(self._apps):
            return
        workers = self._gunicorn.workers()
        if workers and self._gunicorn.kill(_chance.choice(workers)):
            self._refreshes_at_kill = self._refreshes()
            self._outcome.kills += 1

    def _refreshes(self) -> int:
        return sum(app.tally["refreshes"] for app in self._apps)

    def _sum(self, *, sends_keys: bool) -> Counter[str]:
        return sum((Counter(dict(app.tally)) for app in self._apps if app.sends_keys is sends_keys), Counter())

    def _examine(self, app: App) -> None:
        """What does this client's newest pair still do, what do its older ones, and does the database agree?"""
        pairs = app.notebook.read()
        chain = last_chain(pairs)
        self._outcome.forks += forks(pairs)
        sids = self._verify(pairs)
        self._outcome.complaints += app.complaints
        if app.complaints:
            self._outcome.complaints += [self._database.story_of(sid) for sid in sids]
        if not sids:
            return
        sid, newest = sids[-1], chain[-1].refresh_token
        if self._database.generation(sid) != refreshes(chain):
            self._outcome.miscounted.append(f"{refreshes(chain)} refreshes were acknowledged: {self._database.story_of(sid)}")
        answer = refresh(self._http, newest, Idempotency_Key="the-refresh-after-the-storm")
        if answer.status_code != 200:
            self._outcome.lost.append(f"{answer.status_code} {answer.text}: {self._database.story_of(sid)}")
            return
        tokens = answer.json()
        self._verify([*chain, Pair(chain[-1].chain, newest, tokens["access_token"], tokens["refresh_token"])])
        # Any older one is refused, and because that is reuse, the newest is refused after it.
        for value in (_chance.choice(chain).refresh_token, tokens["refresh_token"]):
            if refresh(self._http, value).status_code == 200:
                self._outcome.alive.append(self._database.story_of(sid))

    def _verify(self, pairs: Sequence[Pair]) -> list[str]:
        """The ids of the client's sessions, in order; each access token is to verify by the published keys."""
        found: dict[int, set[str]] = {}
        try:
            for pair, claims in zip(pairs, verified_claims(self._http, [pair.access_token for pair in pairs]), strict=True):
                found.setdefault(pair.chain, set()).add(claims["sid"])
        except (InvalidTokenError, KeyError) as error:
            self._outcome.unverified.append(repr(error))
            return []
        self._outcome.unverified += [f"one session has the ids {sids}" for sids in found.values() if len(sids) > 1]
        return [sid for sids in found.values() for sid in sids]
