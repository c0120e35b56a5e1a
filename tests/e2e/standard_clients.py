"""Apps that sign a user in with libraries of others. Each is given the issuer alone, and tells what it got.

`person` is the user's browser: it is handed the address that the library made, and gives the address at which the app is told.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from authlib.integrations.base_client.errors import OAuthError as AuthlibError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from authlib.oauth2.rfc8628 import DEVICE_CODE_GRANT_TYPE
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata
from joserfc import jwt as jose
from joserfc.jwk import KeySet
from oauthlib.oauth2 import OAuth2Error as OauthlibError
from requests_oauthlib import OAuth2Session as RequestsOauthlib

from tests import node

SIGNED_OUT_URI = "http://127.0.0.1/signed-out"

Person = Callable[[str], str]


@dataclass(frozen=True)
class App:
    """How an app is set up: what its developer was told of the server, and what staff registered."""

    issuer: str
    client_id: str
    redirect_uri: str
    client_secret: str = field(default="", repr=False)
    scope: str = "openid profile email roles offline_access api:read"
    audience: str = "codelab-api"


@dataclass(frozen=True, repr=False)
class Outcome:
    """What an app got: each answer as the library hands it on; `refusal` of the refresh after the revocation, `left` after the sign-out."""

    claims: dict[str, Any]
    userinfo: dict[str, Any]
    tokens: dict[str, Any]
    refreshed: dict[str, Any]
    refusal: str
    introspected: dict[str, Any] | None = None
    read: dict[str, Any] | None = None
    left: str | None = None


def authlib(app: App, person: Person) -> Outcome:
    method = "client_secret_basic" if app.client_secret else "none"
    session = OAuth2Session(
        app.client_id,
        app.client_secret or None,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        scope=app.scope,
        redirect_uri=app.redirect_uri,
        code_challenge_method="S256",
    )
    metadata = _authlib_discovers(app, session)
    verifier, nonce = "v" * 43, "a nonce"

    url, state = session.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce)
    tokens = session.fetch_token(metadata["token_endpoint"], authorization_response=person(url), state=state, code_verifier=verifier)
    userinfo = session.get(metadata["userinfo_endpoint"])
    refreshed = session.refresh_token(metadata["token_endpoint"], refresh_token=tokens["refresh_token"])
    introspected = (
        session.introspect_token(metadata["introspection_endpoint"], token=refreshed["access_token"]) if app.client_secret else None
    )
    assert session.revoke_token(metadata["revocation_endpoint"], token=refreshed["refresh_token"]).status_code == 200
    try:
        session.refresh_token(metadata["token_endpoint"], refresh_token=refreshed["refresh_token"])
        refusal = "none"
    except AuthlibError as error:
        refusal = error.error

    keys = KeySet.import_key_set(session.request("GET", metadata["jwks_uri"], withhold_token=True).json())
    return Outcome(
        claims=_authlib_verifies(app, tokens, keys=keys, nonce=nonce, algorithms=metadata["id_token_signing_alg_values_supported"]),
        userinfo=userinfo.json(),
        tokens=dict(tokens),
        refreshed=dict(refreshed),
        introspected=introspected.json() if introspected is not None else None,
        refusal=refusal,
    )


def _authlib_discovers(app: App, session: OAuth2Session) -> dict[str, Any]:
    """Both documents, each held against what its standard asks for."""
    oauth = AuthorizationServerMetadata(session.request("GET", get_well_known_url(app.issuer, external=True), withhold_token=True).json())
    openid_url = f"{app.issuer}/.well-known/openid-configuration"
    openid = OpenIDProviderMetadata(session.request("GET", openid_url, withhold_token=True).json())
    for document in (oauth, openid):
        _validate(document)
        assert document["issuer"] == app.issuer
    return dict(openid)


def _validate(document: AuthorizationServerMetadata) -> None:
    """All that Authlib validates, but for https, which a server on this machine does without."""
    on_https = {name: value.replace("http://", "https://", 1) if isinstance(value, str) else value for name, value in document.items()}
    type(document)(on_https).validate()


def _authlib_verifies(app: App, tokens: dict[str, Any], *, keys: KeySet, nonce: str, algorithms: list[str]) -> dict[str, Any]:
    token = jose.decode(tokens["id_token"], keys, algorithms=algorithms)
    claims = CodeIDToken(
        token.claims,
        token.header,
        {"iss": {"essential": True, "values": [app.issuer]}, "aud": {"essential": True, "values": [app.client_id]}},
        {"nonce": nonce, "client_id": app.client_id, "access_token": tokens["access_token"]},
    )
    claims.validate(leeway=0)
    return dict(claims)


def requests_oauthlib(app: App, person: Person) -> Outcome:
    """It knows neither discovery nor id_tokens: its users read the document, and the id_token with PyJWT."""
    session = RequestsOauthlib(app.client_id, redirect_uri=app.redirect_uri, scope=app.scope.split(), pkce="S256")
    metadata = session.get(f"{app.issuer}/.well-known/openid-configuration", withhold_token=True).json()
    own = {"client_secret": app.client_secret} if app.client_secret else {"include_client_id": True}
    form = {"client_id": app.client_id} | ({"client_secret": app.client_secret} if app.client_secret else {})

    url, _ = session.authorization_url(metadata["authorization_endpoint"], nonce="a nonce")
    tokens = session.fetch_token(metadata["token_endpoint"], authorization_response=person(url), **own)
    userinfo = session.get(metadata["userinfo_endpoint"]).json()
    refreshed = session.refresh_token(metadata["token_endpoint"], refresh_token=tokens["refresh_token"], **form)
    introspected = None
    if app.client_secret:
        asked = {"token": refreshed["access_token"]} | form
        introspected = session.post(metadata["introspection_endpoint"], data=asked, withhold_token=True).json()
    revoke_url, headers, body = session._client.prepare_token_revocation_request(
        metadata["revocation_endpoint"], refreshed["refresh_token"], "refresh_token", **form
    )
    assert session.post(revoke_url, data=body, headers=headers, withhold_token=True).status_code == 200
    try:
        session.refresh_token(metadata["token_endpoint"], refresh_token=refreshed["refresh_token"], **form)
        refusal = "none"
    except OauthlibError as error:
        refusal = error.error

    return Outcome(
        claims=_pyjwt_verifies(app, tokens["id_token"], metadata),
        userinfo=userinfo,
        tokens=dict(tokens),
        refreshed=dict(refreshed),
        introspected=introspected,
        refusal=refusal,
    )


def _pyjwt_verifies(app: App, id_token: str, metadata: dict[str, Any]) -> dict[str, Any]:
    key = jwt.PyJWKClient(metadata["jwks_uri"]).get_signing_key_from_jwt(id_token)
    algorithms = metadata["id_token_signing_alg_values_supported"]
    claims: dict[str, Any] = jwt.decode(id_token, key, algorithms=algorithms, audience=app.client_id, issuer=app.issuer)
    return claims


def openid_client(app: App, person: Person, *, folder: Path) -> Outcome:
    return Outcome(**_in_node("openid_client.mjs", app, person, folder=folder))


def oauth4webapi(app: App, person: Person, *, folder: Path) -> Outcome:
    return Outcome(**_in_node("oauth4webapi.mjs", app, person, folder=folder))


def authlib_on_a_device(app: App, person: Person) -> dict[str, Any]:
    """The tokens; Authlib knows the grant, and leaves the asking to its user."""
    session = OAuth2Session(app.client_id, token_endpoint_auth_method="none", scope=app.scope)
    metadata = _authlib_discovers(app, session)
    form = {"client_id": app.client_id, "scope": app.scope}
    device = session.request("POST", metadata["device_authorization_endpoint"], withhold_token=True, data=form).json()
    person(device["verification_uri_complete"])
    return dict(session.fetch_token(metadata["token_endpoint"], grant_type=DEVICE_CODE_GRANT_TYPE, device_code=device["device_code"]))


def openid_client_on_a_device(app: App, person: Person, *, folder: Path) -> dict[str, Any]:
    return _in_node("openid_client.mjs", app, person, folder=folder, device=True)["tokens"]


def oauth4webapi_on_a_device(app: App, person: Person, *, folder: Path) -> dict[str, Any]:
    return _in_node("oauth4webapi.mjs", app, person, folder=folder, device=True)["tokens"]


def _in_node(script: str, app: App, person: Person, *, folder: Path, device: bool = False) -> dict[str, Any]:
    question = {
        "issuer": app.issuer,
        "clientId": app.client_id,
        "clientSecret": app.client_secret,
        "redirectUri": app.redirect_uri,
        "scope": app.scope,
        "audience": app.audience,
        "signedOutUri": SIGNED_OUT_URI,
        "device": device,
    }
    return node.converse(script, question, answer=person, folder=folder)
