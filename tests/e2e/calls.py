"""What an app asks the server for, in one line each."""

from typing import Any

import httpx
import jwt

from tests.e2e.servers import ISSUER
from tests.e2e.wire import as_headers

CLIENT_ID = "codelab-flutter-app"


SIGN_IN_FORM = {"grant_type": "password", "username": "user@example.com", "password": "password123", "client_id": CLIENT_ID}


def sign_in(http: httpx.Client, **headers: str) -> dict[str, Any]:
    """The tokens of a new session; `headers` are added to the request."""
    response = http.post("/oauth/token", data=SIGN_IN_FORM, headers=as_headers(headers))
    assert response.status_code == 200, response.text
    return response.json()


def refresh_form(refresh_token: str) -> dict[str, str]:
    return {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": CLIENT_ID}


def refresh(http: httpx.Client, refresh_token: str, **headers: str) -> httpx.Response:
    return http.post("/oauth/token", data=refresh_form(refresh_token), headers=as_headers(headers))


def sessions(http: httpx.Client, access_token: str) -> httpx.Response:
    return http.get("/api/v1/sessions", headers={"Authorization": f"Bearer {access_token}"})


def verified_claims(http: httpx.Client, access_tokens: list[str]) -> list[dict[str, Any]]:
    """What a service reads that knows the published keys alone. Raises InvalidTokenError."""
    keys = jwt.PyJWKSet.from_dict(http.get("/.well-known/jwks.json").json())
    return [
        jwt.decode(token, keys[jwt.get_unverified_header(token)["kid"]].key, algorithms=["RS256"], audience="codelab-api", issuer=ISSUER)
        for token in access_tokens
    ]
