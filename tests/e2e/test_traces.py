"""The spans of a real server as a collector receives them: none is lost at the end, and no request waits for them."""

import json
import secrets
import time

import httpx
import pytest

from tests.e2e.calls import CLIENT_ID, SIGN_IN_FORM, refresh, sign_in
from tests.e2e.servers import authserver
from tests.otlp import collector

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
BATCH = 4
PATIENCE_SECONDS = 20


@pytest.mark.checklist(31)
def test_a_collector_is_told_of_every_request_and_of_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    variables = {
        "OTEL_BSP_SCHEDULE_DELAY": "600000",  # ten minutes: what comes in time comes because a batch is full, or in the end
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": str(BATCH),
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=berlin",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=staging",
        "AUTH_SERVICE__LOG_FORMAT": "json",
        "AUTH_SERVICE__TRUSTED_PROXIES": "127.0.0.1/32",
        "WEB_CONCURRENCY": "1",
    }
    with collector() as told:
        with (
            authserver(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=told.url, **variables) as server,
            httpx.Client(base_url=server.base_url) as http,
        ):
            # A whole batch, which the collector does not take yet.
            tokens = sign_in(http, traceparent=f"00-{TRACE}-{CALLER}-01")
            answers = [refresh(http, "a-refresh-token-that-is-none") for _ in range(BATCH - 1)]
            wait_until(lambda: told.asked == 1)
            # Nobody waits for it.
            state = secrets.token_urlsafe(32)
            tokens |= refresh(http, tokens["refresh_token"], traceparent=f"00-{TRACE}-{CALLER}-01").json()
            assert told.spans == []
            told.open.set()
            wait_until(lambda: len(told.spans) == BATCH)
            http.get(
                "/oauth/authorize",
                params={"client_id": CLIENT_ID, "state": state},
                headers={"Authorization": f"Bearer {tokens['access_token']}"},
            )
        # The last ones were sent when the process ended.
        lines = [json.loads(line) for line in server.output().splitlines() if line.startswith("{")]

    assert [span.name for span in told.spans] == ["POST /oauth/token"] * (BATCH + 1) + ["GET /oauth/authorize"]
    first, *refused, refreshed, asked = told.spans
    assert (first.trace_id, first.parent, refreshed.trace_id) == (TRACE, CALLER, TRACE)
    assert TRACE not in {span.trace_id for span in (*refused, asked)}
    assert (first.attributes["authserver.client_id"], first.attributes["authserver.grant_type"]) == (CLIENT_ID, "password")
    assert first.attributes["authserver.db.statements"] > 0
    assert refused[0].attributes["http.response.status_code"] == 400
    resource = first.resource
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("authserver", "staging")
    assert {headers["X-Tenant" if "X-Tenant" in headers else "x-tenant"] for headers in told.headers} == {"berlin"}
    # A line of the log, its answer and its span find each other.
    logged = {line["error_id"]: line for line in lines if "error_id" in line}
    for answer, span in zip(answers, refused, strict=True):
        line = logged[answer.json()["error_id"]]
        assert line["trace_id"] == span.trace_id
        assert line["request_id"] == span.attributes["authserver.request_id"] == answer.headers["X-Request-ID"]
    whole = repr(told.spans)
    secret = {SIGN_IN_FORM["password"], SIGN_IN_FORM["username"], state, tokens["access_token"], tokens["refresh_token"], "a-refresh-token"}
    assert [each for each in secret if each in whole] == []


def wait_until(is_so):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)
