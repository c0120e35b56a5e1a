"""The loads: who asks for what over how many connections, and what came of it."""

import random
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import Barrier
from multiprocessing.synchronize import Barrier as BarrierType
from typing import TypeVar

from tests.bench import kinds
from tests.bench.cpu import Spent
from tests.bench.generator import NO_BOUNDS, Connection, Loop, Outcome, Result, read_answer
from tests.bench.kinds import Kind, Wire
from tests.bench.load import in_a_process_of_its_own
from tests.bench.server import HOST, Site

T = TypeVar("T")
CONNECTIONS = 16
WARM_UP_SECONDS = 1.0
PREPARE_SECONDS = 60.0
MIX = {"refresh": 14, "sign_in": 5, "jwks": 1}  # of each 20 requests: 70, 25 and 5 %
STEADY_PER_SECOND = 50.0  # of the mix, where latency is what is measured
# A process hashes or lets wait three passwords, and tells the others to come back: so many are sent to it.
AT_ONCE = {"sign_in": 3}
GUESSERS, GUESSES_PER_SECOND = 32, 100.0


@dataclass(frozen=True)
class Measured:
    """What a load came to; `spent` is the CPU of the server, of its stores, and of the whole machine within the same window."""

    result: Result
    spent: Spent

    @property
    def outcomes(self) -> dict[str, Outcome]:
        return self.result.outcomes

    def failures(self) -> list[str]:
        """What was answered otherwise than it should be."""
        return [f"{name}: {each.failed} answers, the first {each.first_failure}" for name, each in self.outcomes.items() if each.failed]

    def good(self) -> int:
        return sum(len(outcome.seconds) for outcome in self.outcomes.values())

    def seconds(self) -> list[float]:
        return [taken for outcome in self.outcomes.values() for taken in outcome.seconds]

    def answers(self) -> dict[str, dict[str, int]]:
        """How many of each status, by what was asked for."""
        return {name: outcome.statuses() for name, outcome in self.outcomes.items()}


class Caller:
    """One connection before the load begins: who speaks on it, and what has to be had first."""

    def __init__(self, sock: socket.socket, number: int, *, of: int, site: Site) -> None:
        self.number, self.of, self.site = number, of, site
        self.wire = Wire(HOST, f"198.51.100.{number + 1}")
        self._sock = sock

    def users(self) -> Iterator[int]:
        return kinds.users_of(self.number, connections=self.of, users=self.site.users)

    def signed_in(self) -> bytes:
        """The answer to a sign-in of the first of its users."""
        self._sock.sendall(kinds.SignIn(self.wire, users=self.users()).next())
        answer = read_answer(self._sock)
        if answer.status != "200":
            raise RuntimeError(f"a sign-in before the load was answered {answer.shape()}")
        return answer.body


Plan = Callable[[Caller], Callable[[], Kind]]


def refresh(caller: Caller) -> Callable[[], Kind]:
    return _always(_chain(caller))


def sign_in(caller: Caller) -> Callable[[], Kind]:
    return _always(kinds.SignIn(caller.wire, users=caller.users()))


def client_credentials(caller: Caller) -> Callable[[], Kind]:
    return _always(kinds.client_credentials(caller.wire, secret=caller.site.service_secret))


def introspection(caller: Caller) -> Callable[[], Kind]:
    access_token = kinds.access_token_of(caller.signed_in())
    return _always(kinds.introspection(caller.wire, secret=caller.site.service_secret, access_token=access_token))


def jwks(caller: Caller) -> Callable[[], Kind]:
    return _always(kinds.jwks(caller.wire))


def bare_view(caller: Caller) -> Callable[[], Kind]:
    return _always(kinds.bare_view(caller.wire))


def mix(caller: Caller) -> Callable[[], Kind]:
    """Each 20 requests of a connection have the mix exactly, in an order that is drawn anew and the same in every run."""
    return _mixed(caller, kinds.SignIn(caller.wire, users=caller.users()))


def mix_in_a_flood(caller: Caller) -> Callable[[], Kind]:
    """The same, when others hash as much as may be hashed: those who sign in may be told to come back."""
    return _mixed(caller, kinds.SignIn(caller.wire, users=caller.users(), may_be_put_off=True))


def guesses(caller: Caller) -> Callable[[], Kind]:
    return _always(kinds.WrongPassword(caller.wire, users=caller.users()))


def run(site: Site, plan: Plan, *, seconds: float, rate: float = 0.0, at_once: Mapping[str, int] = AT_ONCE) -> Measured:
    """Sixteen connections, for so long after a short time to warm up; `rate` requests a second, or as many as are answered."""
    return _start(site, plan, seconds=seconds, rate=rate, at_once=at_once, barrier=Barrier(1))()


def run_in_a_flood(site: Site, plan: Plan, *, seconds: float, rate: float, guesses_per_second: float) -> tuple[Measured, Measured]:
    """The same while 32 more connections guess passwords, and what came of the guesses."""
    barrier = Barrier(2)  # those who sign in first do so before the flood, and both begin at once
    flood = _start(site, guesses, seconds=seconds, connections=GUESSERS, rate=guesses_per_second, at_once=NO_BOUNDS, barrier=barrier)
    load = _start(site, plan, seconds=seconds, rate=rate, barrier=barrier)
    return load(), flood()


def _start(
    site: Site,
    plan: Plan,
    *,
    seconds: float,
    rate: float,
    barrier: BarrierType,
    connections: int = CONNECTIONS,
    at_once: Mapping[str, int] = AT_ONCE,
) -> Callable[[], Measured]:
    return in_a_process_of_its_own(_load, site, plan, seconds, connections, rate, at_once, barrier)


def _load(site: Site, plan: Plan, seconds: float, number: int, rate: float, at_once: Mapping[str, int], barrier: BarrierType) -> Measured:
    connections = []
    for index, (sock, process) in enumerate(site.connections(number)):
        caller = Caller(sock, index, of=number, site=site)
        connections.append(Connection(sock, process=process, choose=plan(caller)))
    loop = Loop(connections, rate=rate, at_once=at_once)
    barrier.wait(PREPARE_SECONDS)
    result, spent = loop.run(seconds, warm_up=min(WARM_UP_SECONDS, seconds / 2), window=site.window())
    return Measured(result, spent)


def _chain(caller: Caller) -> Kind:
    refresh_token = kinds.refresh_token_of(caller.signed_in())
    assert refresh_token is not None
    return kinds.Refresh(caller.wire, refresh_token=refresh_token)


def _mixed(caller: Caller, signing_in: Kind) -> Callable[[], Kind]:
    by_name = {"refresh": _chain(caller), "sign_in": signing_in, "jwks": kinds.jwks(caller.wire)}
    return drawn([by_name[name] for name, number in MIX.items() for _ in range(number)], random.Random(caller.number)).__next__


def _always(kind: Kind) -> Callable[[], Kind]:
    return lambda: kind


def drawn(cards: Sequence[T], dice: random.Random) -> Iterator[T]:
    """All of them in an order that is drawn, again and again."""
    while True:
        yield from dice.sample(cards, len(cards))


def together(parts: Sequence[Measured]) -> Measured:
    """Loads of the same kind that came one after the other, as one."""
    outcomes: dict[str, Outcome] = {}
    for part in parts:
        for name, outcome in part.outcomes.items():
            outcomes.setdefault(name, Outcome()).add(outcome)
    result = Result(sum(part.result.duration for part in parts), outcomes, sum(part.result.cpu_seconds for part in parts))
    groups = {name: sum(part.spent.groups[name] for part in parts) for name in parts[0].spent.groups}
    spent = Spent(groups, sum(part.spent.machine for part in parts), sum(part.spent.stolen for part in parts))
    return Measured(result, spent)
