"""Endings of many sessions at once that a restored database lacks, wholly or in part: no event tells of each session.

They work batch by batch, and the backup may have been made between two. Then the database knows that the ending began, and forgot the rest.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from oauth.restored.lines import Event, Key

STARTED, FINISHED = "sessions:ending:started", "sessions:ending:finished"
EVERYTHING = "restore:revocations:started"  # where there was no export


@dataclass(frozen=True)
class Ending:
    """What one event says. Without a client it is of everybody."""

    name: str
    client_id: str
    opened_by: datetime


def read(event: Event) -> Ending | None:
    """None for other events. Raises as a dict that lacks something."""
    match event["event"]:
        case ("sessions:ending:started" | "sessions:ending:finished") as name:
            return Ending(name, str(event["client_id"]), event["at"])
        case "restore:revocations:started" if event["detail"]["source"] == "none":
            return Ending(EVERYTHING, "", datetime.fromisoformat(event["detail"]["opened_by"]).astimezone(UTC))
    return None


def opened_by(told: Mapping[Key, Ending], *, since: datetime, known: Callable[[Iterable[Key]], set[Key]]) -> dict[str, datetime]:
    """By client_id, up to when the sessions were opened that are to end; "" is everybody.

    `told` are events of any time: those from before `since` say when an ending began. `known` gives those that the restored database has
    itself: that an ending began says nothing of what it ended there, and where its end is on record all its batches are.
    """
    found, going_on = dict[str, datetime](), dict[str, datetime]()
    whole = known(key for key, ending in told.items() if ending.name == FINISHED)
    for key in sorted(told):
        ending = told[key]
        if ending.name == STARTED:
            going_on[ending.client_id] = ending.opened_by
            continue
        at = ending.opened_by if ending.name == EVERYTHING else going_on.pop(ending.client_id, ending.opened_by)
        if key[0] >= since and key not in whole:
            found[ending.client_id] = max(at, found.get(ending.client_id, at))
    # Of the others nobody tells an end: they were interrupted, or went on when the export was made.
    return found | {client_id: max(at, found.get(client_id, at)) for client_id, at in going_on.items()}
