"""Which events were replayed before, as each replay has them on record: a fuller export goes by what is new in it, be it older or not."""

from accounts import audit
from accounts.actors import Actor
from accounts.models import AuditEvent
from oauth.restored.forgotten import Losses

PERSON, CLIENT = "user:revocations:replayed", "client:revocations:replayed"
MOST = 500  # of one record, or a user with many events makes one that no page shows


def names() -> set[str]:
    """Of all of them, as `lines.name_of` gives them."""
    details = AuditEvent.objects.filter(event__in=(PERSON, CLIENT)).values_list("detail", flat=True)
    return {name for detail in details.iterator() for name in detail.get("events", ())}


def record(event: str, forgotten: Losses, *, done: list[str], target: object = "", client_id: str = "", actor: Actor) -> None:
    """In the transaction in which it was done. What was done stands in the first record, if it takes several."""
    for start in range(0, len(forgotten.events), MOST):
        part = forgotten.events[start : start + MOST]
        detail = {"until": forgotten.until.isoformat(), "done": [] if start else done, "events": part}
        audit.record(event, target=target, client_id=client_id, detail=detail, **actor)
