"""What the server and its process manager do together with requests as they come over the wire."""

import httpx
import pytest

from tests.e2e.calls import SIGN_IN_FORM, refresh, refresh_form, sessions, sign_in, verified_claims
from tests.e2e.servers import ISSUER
from tests.e2e.wire import LAST_CHUNK, ODD_HEADERS, Wire, chunks, form_request, token_head

SIGN_IN_REQUEST = form_request(SIGN_IN_FORM)
SIGN_IN_BODY = SIGN_IN_REQUEST.partition(b"\r\n\r\n")[2]
LIVE_REQUEST = b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n"
SMUGGLED_REQUEST = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
LIMIT = 64 * 1024


def assert_refused(answer, status, error="invalid_request"):
    assert answer is not None, "the connection was closed without an answer"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    if isinstance(answer, httpx.Response):
        assert (answer.status_code, answer.json()["error"]) == (status, error)
    else:
        assert (answer.status, answer.json()["error"]) == (status, error)


# --- The key set ---------------------------------------------------------------------------------
@pytest.mark.checklist(89, 94)
def test_anyone_may_keep_the_key_set_for_an_hour(http):
    response = http.get("/.well-known/jwks.json", headers={"Origin": "https://app.example"})

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "public, max-age=3600"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["ETag"].startswith('"')
    assert "Set-Cookie" not in response.headers
    assert [set(key) for key in response.json()["keys"]] == [{"kty", "use", "alg", "kid", "n", "e"}] * 2


@pytest.mark.checklist(94)
def test_who_holds_the_key_set_is_told_that_it_has_not_changed(http):
    etag = http.get("/.well-known/jwks.json").headers["ETag"]

    response = http.get("/.well-known/jwks.json", headers={"If-None-Match": f'"older", {etag}'})

    assert response.status_code == 304
    assert response.content == b""
    assert response.headers["ETag"] == etag
    assert response.headers["Cache-Control"] == "public, max-age=3600"
    assert response.headers["Access-Control-Allow-Origin"] == "*"


def test_who_holds_an_older_key_set_gets_the_new_one(http):
    response = http.get("/.well-known/jwks.json", headers={"If-None-Match": '"older"'})

    assert response.status_code == 200
    assert response.json()["keys"]


@pytest.mark.checklist(94)
def test_the_head_of_the_key_set_is_that_of_the_whole(http):
    whole = http.get("/.well-known/jwks.json")

    head = http.head("/.well-known/jwks.json")

    assert (head.status_code, head.content) == (200, b"")
    for name in ("Content-Type", "Content-Length", "Cache-Control", "ETag", "Access-Control-Allow-Origin"):
        assert head.headers[name] == whole.headers[name]


def test_every_process_publishes_the_same_key_set(server):
    etags = set()

    for _ in range(20):
        with httpx.Client(base_url=server.base_url) as newcomer:
            etags.add(newcomer.get("/.well-known/jwks.json").headers["ETag"])

    assert len(etags) == 1


# --- Hosts ---------------------------------------------------------------------------------------
@pytest.mark.checklist(113)
@pytest.mark.parametrize("path", ["/health", "/ready", "/live"])
def test_a_probe_is_answered_whatever_host_it_names(http, path):
    response = http.get(path, headers={"Host": "10.0.0.7:8003"})

    assert response.status_code == 200
    assert response.json()["status"] == "ok"


@pytest.mark.checklist(82)
def test_a_token_is_refused_to_who_names_a_foreign_host(http):
    response = http.post("/oauth/token", data=SIGN_IN_FORM, headers={"Host": "mallory.example"})

    assert_refused(response, 400)


@pytest.mark.checklist(82)
def test_no_header_changes_who_issues_a_token(http):
    tokens = sign_in(http, X_Forwarded_Host="mallory.example", X_Forwarded_Proto="https", Forwarded="host=mallory.example;proto=https")

    (claims,) = verified_claims(http, [tokens["access_token"]])
    assert claims["iss"] == ISSUER


# --- Bodies --------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_body_in_chunks_is_read_like_any_other(server, size):
    with Wire(server.port) as wire:
        wire.send(token_head("Transfer-Encoding: chunked") + chunks(SIGN_IN_BODY, size=size) + LAST_CHUNK)
        answer = wire.read()

        wire.send(SIGN_IN_REQUEST)
        next_answer = wire.read()

    assert answer.status == 200
    assert answer.json()["scope"] == "api:read api:write"
    assert next_answer.status == 200


@pytest.mark.checklist(10)
def test_chunks_that_never_end_are_refused_once_they_are_too_many(server):
    with Wire(server.port) as wire:
        wire.send(token_head("Transfer-Encoding: chunked") + chunks(b"a=" + b"x" * LIMIT, size=4096))
        answer = wire.read()

    assert_refused(answer, 413)


@pytest.mark.parametrize(
    "chunk", [b"zz\r\nhello\r\n", b"-5\r\nhello\r\n", b"5\r\nhello world\r\n"], ids=["no number", "negative", "too long"]
)
def test_malformed_chunks_are_the_clients_mistake(server, chunk):
    with Wire(server.port) as wire:
        wire.send(token_head("Transfer-Encoding: chunked") + chunk + LAST_CHUNK)
        answer = wire.read()

    assert_refused(answer, 400)


def test_chunks_that_break_off_are_refused(server):
    with Wire(server.port) as wire:
        wire.send(token_head("Transfer-Encoding: chunked") + chunks(SIGN_IN_BODY, size=4096))
        wire.half_close()
        answer = wire.read()

    assert_refused(answer, 400)


@pytest.mark.spec("RFC 9112", "8", "a message body shorter than its Content-Length is incomplete")
def test_a_body_that_breaks_off_spends_nothing(server, http):
    token = sign_in(http)["refresh_token"]
    body = form_request(refresh_form(token)).partition(b"\r\n\r\n")[2]

    with Wire(server.port) as wire:
        wire.send(token_head(f"Content-Length: {len(body) + 20}") + body)
        wire.half_close()
        answer = wire.read()

    assert answer is None or answer.status == 400
    assert refresh(http, token).status_code == 200


@pytest.mark.checklist(10)
@pytest.mark.parametrize("length", [LIMIT + 1, 3_000_000])
def test_a_body_that_is_too_large_is_refused(http, length):
    response = http.post("/oauth/token", content=b"x" * length, headers={"Content-Type": "application/x-www-form-urlencoded"})

    assert_refused(response, 413)


@pytest.mark.parametrize("length", [LIMIT + 1, 3_000_000])
def test_a_body_that_is_too_large_is_refused_before_it_is_sent(server, length):
    with Wire(server.port) as wire:
        wire.send(token_head(f"Content-Length: {length}"))
        answer = wire.read()

    assert_refused(answer, 413)


@pytest.mark.checklist(15, 16)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["Content-Length", "chunked"])
@pytest.mark.parametrize("length", [LIMIT + 1, 100_000, 3_000_000])
def test_nothing_of_a_refused_body_is_taken_for_the_next_request(server, length, is_chunked):
    body = (SMUGGLED_REQUEST * (length // len(SMUGGLED_REQUEST) + 1))[:length]
    whole = (
        token_head("Transfer-Encoding: chunked") + chunks(body, size=4096) + LAST_CHUNK
        if is_chunked
        else token_head(f"Content-Length: {length}") + body
    )

    with Wire(server.port) as wire:
        wire.send(whole)
        answer = wire.read()
        wire.send(LIVE_REQUEST)
        next_answer = wire.read()

    assert_refused(answer, 413)
    assert next_answer is None or (next_answer.status, next_answer.json()) == (200, {"status": "ok"})


@pytest.mark.checklist(15)
@pytest.mark.parametrize("length", [LIMIT + 1, 200_000])
@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/introspect", "/api/v1/confirm-email"])
def test_a_client_whose_body_is_too_long_is_told_that_the_connection_ends(server, path, length):
    head = token_head(f"Content-Length: {length}").replace(b"/oauth/token", path.encode(), 1)
    head = head.replace(b"application/x-www-form-urlencoded", b"application/json") if path.startswith("/api/") else head

    with Wire(server.port) as wire:
        wire.send(head + b"x" * length)
        answer = wire.read()
        end = wire.read()

    assert_refused(answer, 413)
    assert answer.headers["Connection"] == "close"
    assert end is None


def test_one_connection_serves_one_request_after_another(server):
    with Wire(server.port) as wire:
        statuses = []
        for request in (LIVE_REQUEST, SIGN_IN_REQUEST, form_request(SIGN_IN_FORM | {"grant_type": "zzz"}), SMUGGLED_REQUEST, LIVE_REQUEST):
            wire.send(request)
            statuses.append(wire.read().status)

    assert statuses == [200, 200, 400, 404, 200]


@pytest.mark.checklist(16)
@pytest.mark.spec("RFC 9112", "6.1", "Transfer-Encoding and Content-Length together might be an attempt at request smuggling")
@pytest.mark.parametrize("lines", [("Content-Length", "Transfer-Encoding"), ("Transfer-Encoding", "Content-Length")])
def test_a_body_with_two_lengths_is_refused_and_the_connection_closed(server, lines):
    values = {"Content-Length": f"Content-Length: {len(SIGN_IN_BODY)}", "Transfer-Encoding": "Transfer-Encoding: chunked"}

    with Wire(server.port) as wire:
        wire.send(token_head(*(values[name] for name in lines)) + LAST_CHUNK + SMUGGLED_REQUEST)
        answer = wire.read()
        next_answer = wire.read()

    assert_refused(answer, 400)
    assert next_answer is None


@pytest.mark.checklist(16)
@pytest.mark.parametrize(
    ("coding", "status"),
    [("xchunked", 501), ("chunked, chunked", 400), ("chunked, gzip", 400), ("identity, chunked, identity", 400), ("\x0bchunked", 400)],
)
def test_a_transfer_coding_that_hides_where_the_body_ends_is_refused_and_the_connection_closed(server, coding, status):
    with Wire(server.port) as wire:
        wire.send(token_head(f"Transfer-Encoding: {coding}") + chunks(SIGN_IN_BODY, size=4096) + LAST_CHUNK + SMUGGLED_REQUEST)
        answer = wire.read()
        next_answer = wire.read()

    assert_refused(answer, status)
    assert next_answer is None


@pytest.mark.checklist(17)
@pytest.mark.parametrize("lines", ODD_HEADERS, ids=lambda lines: lines[0][:20])
def test_headers_that_nobody_sends_are_the_clients_mistake(server, lines):
    with Wire(server.port) as wire:
        wire.send(token_head(f"Content-Length: {len(SIGN_IN_BODY)}", *lines) + SIGN_IN_BODY)
        answer = wire.read()

    assert 400 <= answer.status < 500


# --- Paths and methods ---------------------------------------------------------------------------
@pytest.mark.checklist(18, 110)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/nothing", "/oauth/token/", "/oauth/nothing", "/api/v1/nothing", "/.well-known/nothing", "/OAuth/Token", "/%00"]
)
def test_where_nothing_is_the_answer_is_json(http, method, path):
    assert_refused(http.request(method, path), 404, "not_found")


@pytest.mark.checklist(1, 110)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_the_token_endpoint_tells_which_method_it_allows(http, method):
    response = http.request(method, "/oauth/token")

    assert_refused(response, 405)
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize("path", ["/.well-known/jwks.json", "/.well-known/oauth-authorization-server", "/live", "/ready", "/health", "/"])
def test_a_page_for_reading_tells_which_methods_it_allows(http, path):
    response = http.post(path)

    assert_refused(response, 405)
    assert response.headers["Allow"] == "GET, HEAD"


def test_the_api_tells_which_methods_it_allows(http):
    authorization = {"Authorization": f"Bearer {sign_in(http)['access_token']}"}

    response = http.put("/api/v1/sessions", headers=authorization)

    assert_refused(response, 405)
    assert "GET" in response.headers["Allow"]


def test_the_api_tells_who_sent_no_token_how_to_send_one(http):
    response = http.get("/api/v1/sessions")

    assert_refused(response, 401, "invalid_token")
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="authserver", resource_metadata=')


def test_a_new_sign_in_sees_its_own_session_marked(http):
    listed = sessions(http, sign_in(http)["access_token"]).json()["results"]

    assert [session["current"] for session in listed].count(True) == 1
