"""The end of audit events: the one place where they are removed, and only when they are past their time."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from accounts.clock import SteadyInstant
from accounts.models import AuditEvent

BATCH = 5000


def prune() -> int:
    """Remove a batch of events older than AUDIT_RETENTION; how many. Nothing is removed while that is not set."""
    if settings.AUDIT_RETENTION is None:
        return 0
    with transaction.atomic():
        _announce(settings.AUDIT_RETENTION)
        old = AuditEvent.objects.filter(at__lt=SteadyInstant(plus=-settings.AUDIT_RETENTION)).order_by("at").values_list("pk", flat=True)
        # Past the model, which refuses: this is the exception that its docstring names.
        return int(QuerySet(AuditEvent).filter(pk__in=list(old[:BATCH]))._raw_delete(AuditEvent.objects.db) or 0)


def between(since: datetime | None, until: datetime | None) -> QuerySet[AuditEvent, AuditEvent]:
    """Events from `since` on and before `until`, oldest first."""
    events = AuditEvent.objects.order_by("pk")
    if since is not None:
        events = events.filter(at__gte=since)
    return events if until is None else events.filter(at__lt=until)


def _announce(retention: timedelta) -> None:
    """Tell PostgreSQL's trigger, for this transaction, which events may go."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('authserver.audit_retention_seconds', %s, true)", [str(int(retention.total_seconds()))])
