"""Count each request to the token endpoint: its grant, what came of it, which client sent it, how long it took."""

import time
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse

from accounts import metrics
from oauth.client_labels import labels
from oauth.errors import OAuthError, TemporarilyUnavailable
from oauth.http import STORE_DOWN, View, noted_client, noted_grant_type

OK, BUG, OTHER = "ok", "server_error", "other"


def counts_token_requests(view: View) -> View:
    """Stands below `renders_oauth_errors`: it sees a refusal as what it is."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        began_at, outcome = time.perf_counter(), BUG
        try:
            response = view(request, *args, **kwargs)
            outcome = OK
        except OAuthError as refusal:
            outcome = refusal.error
            raise
        except STORE_DOWN:
            outcome = TemporarilyUnavailable.error
            raise
        finally:
            metrics.observe_token_request(
                grant=noted_grant_type(request) or OTHER,
                outcome=outcome,
                client=labels.label(noted_client(request)),
                seconds=time.perf_counter() - began_at,
            )
        return response

    return wrapped
