"""Which clients the metrics name: the first hundred that were registered. The others are counted together."""

import logging
import threading
import time

from django.db import DatabaseError, InterfaceError, connection

from oauth.models import Client

MOST = 100
OTHER = "other"
POLL_SECONDS = 60.0

logger = logging.getLogger(__name__)


class ClientLabels:
    """This process's copy of their names, renewed by a thread of its own: no request waits for it."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()

    def label(self, client_id: str) -> str:
        # SECURITY: bounded: each label takes memory here and in Prometheus, and clients may be registered by the thousand.
        return client_id if client_id in self._names else OTHER

    def reload(self) -> None:
        self._names = frozenset(Client.objects.order_by("pk").values_list("client_id", flat=True)[:MOST])

    def poll(self) -> None:
        """Load the names, and keep them fresh for the rest of the process's life."""
        self._reload_or_report()
        threading.Thread(target=self._run, name="client-labels", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            self._reload_or_report()

    def _reload_or_report(self) -> None:
        try:
            self.reload()
        except (DatabaseError, InterfaceError):
            logger.warning("the names of the clients could not be read for the metrics; those read last stay in use")
        except Exception:
            # Whatever it was, the next round may go well.
            logger.exception("the names of the clients could not be read for the metrics")
        finally:
            connection.close()  # for a minute nobody asks anything on it


labels = ClientLabels()
