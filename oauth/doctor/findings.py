"""What the doctor found: of each check how it stands, what there is, and how to mend it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from oauth.doctor.asking import Unreachable
from oauth.http import STORE_DOWN


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """`mend` is empty where all is well."""

    check: str
    level: Level
    found: str
    mend: str = ""


Check = Callable[[], Iterator[Finding]]


@dataclass(frozen=True)
class Group:
    """Checks that make no sense where one of the `gates` fails."""

    gates: tuple[Check, ...]
    checks: tuple[Check, ...]


def ok(check: str, found: str) -> Finding:
    return Finding(check, Level.OK, found)


def warn(check: str, found: str, *, mend: str) -> Finding:
    return Finding(check, Level.WARN, found, mend)


def fail(check: str, found: str, *, mend: str) -> Finding:
    return Finding(check, Level.FAIL, found, mend)


def examine(groups: tuple[Group, ...], *, lets_crash: bool = False) -> Iterator[Finding]:
    """Carry the checks out, one after the other. One that crashes is a finding, unless it `lets_crash`."""
    for group in groups:
        gates = [finding for gate in group.gates for finding in _findings(gate, lets_crash)]
        yield from gates
        failed = [finding.check for finding in gates if finding.level is Level.FAIL]
        if failed:
            names = ", ".join(map(_name, group.checks))
            yield warn(failed[0], f"Not looked at for that reason: {names}.", mend="Mend that first, and run this again.")
            continue
        for check in group.checks:
            yield from _findings(check, lets_crash)


def _findings(check: Check, lets_crash: bool) -> Iterator[Finding]:
    # SECURITY: the kind of an error alone: its text may quote an URL with a password, or what somebody typed.
    try:
        yield from check()
    except STORE_DOWN as error:
        if lets_crash:
            raise
        mend = (
            "Does the database run, is AUTH_SERVICE__DB_URL right, is it slow, are its connections used up? "
            "manage.py doctor --traceback shows what it said."
        )
        yield fail(_name(check), f"The database did not answer ({type(error).__name__}).", mend=mend)
    except Unreachable as error:
        yield fail(_name(check), f"There was no answer: {error}.", mend="Run this again; if it stays so, look at the proxy.")
    except Exception as error:
        if lets_crash:
            raise
        mend = "It is a bug of this command, or something that it does not know. manage.py doctor --traceback shows where."
        yield fail(_name(check), f"This check itself failed ({type(error).__name__}).", mend=mend)


def _name(check: Check) -> str:
    return check.__name__.replace("_", " ")
