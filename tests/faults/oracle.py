"""What the clients of a storm know for certain: each pair of tokens is on the disk before it is used."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, repr=False)
class Pair:
    """Tokens that came in a complete answer. `chain` counts the client's sign-ins; `spent` is what was sent for them, empty at sign-in."""

    chain: int
    spent: str
    access_token: str
    refresh_token: str


class Notebook:
    """One client's pairs in the order of their arrival, in a file that is only added to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, pair: Pair) -> None:
        os.write(self._descriptor, json.dumps(asdict(pair)).encode() + b"\n")
        os.fsync(self._descriptor)

    def read(self) -> list[Pair]:
        return [Pair(**json.loads(line)) for line in self._path.read_text(encoding="utf-8").splitlines()]

    def close(self) -> None:
        os.close(self._descriptor)


def forks(pairs: Iterable[Pair]) -> int:
    """How many refresh tokens were exchanged for more than one."""
    successors = defaultdict(set)
    for pair in pairs:
        if pair.spent:
            successors[pair.spent].add(pair.refresh_token)
    return sum(len(tokens) > 1 for tokens in successors.values())


def last_chain(pairs: list[Pair]) -> list[Pair]:
    """The pairs of the session that the client signed in to last."""
    return [pair for pair in pairs if pair.chain == pairs[-1].chain]


def refreshes(chain: Iterable[Pair]) -> int:
    """How many tokens of the session were spent: a repetition spends none."""
    return len({pair.spent for pair in chain if pair.spent})
