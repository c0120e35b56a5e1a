"""An app that speaks the Model Context Protocol finds this server through the resource that turns it away (RFC 9728)."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import httpx2
import jwt
import pytest
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

REDIRECT_URI = "http://127.0.0.1/callback"
SCOPE = "api:read"


class Resource:
    """A service that takes tokens that are meant for it, and says where they are to be had."""

    def __init__(self, issuer: str) -> None:
        resource = self
        self._keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json")
        self.issuer = issuer
        self.callers: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/.well-known/oauth-protected-resource/mcp":
                    document = {"resource": resource.url, "authorization_servers": [issuer], "scopes_supported": [SCOPE]}
                    self._answer(200, document)
                elif resource.lets_in(self.headers.get("Authorization", "")):
                    self._answer(200, {"hello": resource.callers[-1]})
                else:
                    where = f"{resource.origin}/.well-known/oauth-protected-resource/mcp"
                    self._answer(401, {}, challenge=f'Bearer resource_metadata="{where}"')

            def _answer(self, status: int, body: dict[str, object], *, challenge: str = "") -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                if challenge:
                    self.send_header("WWW-Authenticate", challenge)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://localhost:{self._http.server_port}"
        self.url = f"{self.origin}/mcp"

    def lets_in(self, authorization: str) -> bool:
        token = authorization.removeprefix("Bearer ")
        if not token:
            return False
        key = self._keys.get_signing_key_from_jwt(token)
        self.callers.append(jwt.decode(token, key, algorithms=["RS256"], audience=self.url, issuer=self.issuer)["client_id"])
        return True

    def __enter__(self) -> "Resource":
        self._thread = threading.Thread(target=self._http.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class Storage:
    """What the app keeps: a client that was registered beforehand, and its tokens."""

    def __init__(self, client_id: str) -> None:
        self.client = OAuthClientInformationFull(client_id=client_id, redirect_uris=[REDIRECT_URI], token_endpoint_auth_method="none")
        self.tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        raise AssertionError("the client was registered anew")


@pytest.fixture(scope="module")
def resource(own_server) -> Iterator[Resource]:
    with Resource(own_server.base_url) as running:
        # The app asks for offline_access by itself, where the server's metadata lists it.
        code = ("--grant-type", "authorization_code", "--grant-type", "refresh_token", "--scope", f"{SCOPE} offline_access")
        own_server.manage("create_client", "assistant", "--public", *code, "--redirect-uri", REDIRECT_URI, "--resource", running.url)
        yield running


def provider(resource, storage, user):
    told = []

    async def open_browser(url: str) -> None:
        told.append(user.go(url))

    async def answer() -> AuthorizationCodeResult:
        query = parse_qs(urlsplit(told[-1]).query)
        assert "code" in query, query
        return AuthorizationCodeResult(code=query["code"][0], state=query["state"][0], iss=query["iss"][0])

    metadata = OAuthClientMetadata(redirect_uris=[REDIRECT_URI], scope=SCOPE, token_endpoint_auth_method="none")
    return OAuthClientProvider(resource.url, metadata, storage, open_browser, answer)


@pytest.mark.asyncio
@pytest.mark.spec("RFC 8707", "2", "a token for the resource that was asked for")
async def test_an_assistant_is_let_in_and_stays_so_by_a_refresh(resource, user):
    storage = Storage("assistant")
    client = provider(resource, storage, user)
    async with httpx2.AsyncClient(auth=client, timeout=20, trust_env=False) as app:
        assert (await app.get(resource.url)).json() == {"hello": "assistant"}
        first = storage.tokens
        client.context.token_expiry_time = 1  # long ago
        user.seen = []

        assert (await app.get(resource.url)).json() == {"hello": "assistant"}

    assert storage.tokens.refresh_token != first.refresh_token
    assert user.seen == []
