"""The mix of requests that apps send, evenly and for long, on sessions that end soon after they were left; and what is seen meanwhile."""

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from tests.bench import kinds
from tests.bench.kinds import Kind, Wire
from tests.bench.phases import MIX, Caller, Measured, drawn
from tests.bench.report import percentiles

KEPT = 3  # sessions of one connection that it goes on refreshing
WARM_UP_PART = 3  # memory is looked at after this part of the time


@dataclass(frozen=True)
class Held:
    """A refresh token, and when it was asked for: it lives a little longer than a lifetime from then."""

    token: bytes
    asked_at: float


class Opening(kinds.SignIn):
    """Signs in, and hands its session on to be refreshed."""

    def __init__(self, wire: Wire, *, users: Iterator[int], sessions: deque[Held]) -> None:
        super().__init__(wire, users=users, may_be_put_off=True)
        self._sessions, self._asked_at = sessions, 0.0

    def next(self) -> bytes:
        self._asked_at = time.monotonic()
        return super().next()

    def learn(self, status: str, body: bytes) -> bool:
        if status == "200" and (token := kinds.refresh_token_of(body)) is not None:
            self._sessions.append(Held(token, self._asked_at))
        return super().learn(status, body)


class Refreshing:
    """Refreshes one session after the other."""

    name = "refresh"

    def __init__(self, wire: Wire, *, sessions: deque[Held], lifetime: float) -> None:
        self._wire, self._sessions, self._lifetime = wire, sessions, lifetime
        self._spent, self._asked_at = Held(b"", 0.0), 0.0

    def next(self) -> bytes:
        self._spent, self._asked_at = self._sessions.popleft(), time.monotonic()
        form = {"grant_type": "refresh_token", "client_id": kinds.PUBLIC_CLIENT, "refresh_token": self._spent.token.decode()}
        return self._wire.post("/oauth/token", form)

    def learn(self, status: str, body: bytes) -> bool:
        """A session that was left alone for a lifetime is refused, and that is right. Who is told to come back signs in anew."""
        token = kinds.refresh_token_of(body)
        if status == "200" and token is not None:
            self._sessions.append(Held(token, self._asked_at))
            return token != self._spent.token
        if status == "503":
            return b'"temporarily_unavailable"' in body
        is_over = time.monotonic() >= self._spent.asked_at + self._lifetime
        return is_over and status == "400" and b'"invalid_grant"' in body


def mix(caller: Caller, *, lifetime: float) -> Callable[[], Kind]:
    """70 % refreshes, 25 % sign-ins, 5 % key sets."""
    sessions: deque[Held] = deque(maxlen=KEPT)
    opening = Opening(caller.wire, users=caller.users(), sessions=sessions)
    by_name: dict[str, Kind] = {
        "refresh": Refreshing(caller.wire, sessions=sessions, lifetime=lifetime),
        "sign_in": opening,
        "jwks": kinds.jwks(caller.wire),
    }
    names = drawn([name for name, number in MIX.items() for _ in range(number)], random.Random(caller.number))

    def choose() -> Kind:
        name = next(names)
        return by_name[name] if sessions or name == "jwks" else opening

    return choose


@dataclass(frozen=True)
class Slice:
    """A part of the time: what was answered, and what server and database had grown to at its end."""

    minutes: float
    measured: Measured
    megabytes: dict[str, float]  # by process
    rows: dict[str, int]  # by table
    disk_megabytes: float  # of the table of sessions
    removed: int

    def statuses(self) -> Counter[str]:
        return sum((Counter(statuses) for statuses in self.measured.answers().values()), Counter())

    def p99(self) -> float:
        """Milliseconds, of all requests."""
        return _p99(self.measured.seconds())


def slope(slices: Sequence[Slice], process: str) -> float:
    """Megabytes an hour, by least squares, after the time to warm up."""
    warm = slices[len(slices) // WARM_UP_PART :]
    hours, sizes = [each.minutes / 60 for each in warm], [each.megabytes[process] for each in warm]
    middle, mean = fmean(hours), fmean(sizes)
    spread = sum((hour - middle) ** 2 for hour in hours)
    return sum((hour - middle) * (size - mean) for hour, size in zip(hours, sizes, strict=True)) / spread if spread else 0.0


def growth(slices: Sequence[Slice], process: str) -> float:
    """Megabytes in the whole time, at that slope."""
    return slope(slices, process) * slices[-1].minutes / 60


def p99_before(slices: Sequence[Slice]) -> float:
    """Milliseconds: the median of the slices of the second third."""
    return median(each.p99() for each in slices[len(slices) // 3 : -(len(slices) // 3) or None])


def p99_at_the_end(slices: Sequence[Slice]) -> float:
    """The same of the last third."""
    return median(each.p99() for each in slices[-(len(slices) // 3) :])


def table(slices: Sequence[Slice]) -> str:
    """For the end of a run."""
    first = slices[0]
    heads = (
        "minute",
        "answers",
        "503",
        "refresh p99",
        "all p99 ms",
        *first.rows,
        "MB on disk",
        "removed",
        *(f"{name} MB" for name in first.megabytes),
    )
    lines = [heads, *(_cells(each) for each in slices)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    text = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    slopes = ", ".join(f"{process} {slope(slices, process):+.2f}" for process in first.megabytes)
    return "\n".join([f"A soak of {slices[-1].minutes:.1f} minutes", *text, f"megabytes an hour, without the first third: {slopes}"])


def _cells(each: Slice) -> tuple[str, ...]:
    statuses = each.statuses()
    return (
        f"{each.minutes:.1f}",
        str(statuses.total()),
        str(statuses["503"]),
        f"{_p99(each.measured.outcomes['refresh'].seconds):.1f}",
        f"{each.p99():.1f}",
        *map(str, each.rows.values()),
        f"{each.disk_megabytes:.2f}",
        str(each.removed),
        *(f"{size:.2f}" for size in each.megabytes.values()),
    )


def _p99(seconds: list[float]) -> float:
    return percentiles(seconds)["p99_ms"] or 0.0
