"""The documents for verifiers, the probes and the OpenAPI document itself, described for OpenAPI."""

from django.conf import settings

from authserver.openapi_parts import UNAVAILABLE, Part, answer, record, ref, refusals, text, words
from authserver.openapi_security import NOBODY_IN_PARTICULAR
from oauth import instances, metadata
from oauth.errors import InvalidRequest, OAuthError

DOCUMENTS, OPERATIONS = "Documents", "Operations"

_HOST = InvalidRequest("This Host is not served here (AUTH_SERVICE__ALLOWED_HOSTS).")
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of the document that is known already.",
    "schema": {"type": "string"},
    "example": '"0123456789abcdef0123456789abcdef"',
}
_CACHING = {
    "ETag": {"description": "Changes with the document.", "schema": {"type": "string"}},
    "Cache-Control": {"description": "How long the document may be kept.", "schema": {"type": "string"}, "example": "public, max-age=3600"},
    "Access-Control-Allow-Origin": {"description": "Any origin may read it.", "schema": {"const": "*"}},
}
_JWK = {
    "kty": "RSA",
    "use": "sig",
    "alg": "RS256",
    "kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs",
    "e": "AQAB",
}
_READY = {"status": "ok", "database": "ok", "signing_key": "ok"}
_NOT_READY = {"status": "unavailable", "database": "read-only", "signing_key": "ok"}


def paths() -> dict[str, Part]:
    return {
        "/.well-known/jwks.json": {"get": _jwks()},
        "/.well-known/oauth-authorization-server": {"get": _metadata("read_metadata", "What this server offers (RFC 8414)")},
        "/.well-known/openid-configuration": {
            "get": _metadata("read_openid_configuration", "The same, where OpenID Connect clients look (OpenID Connect Discovery 1.0)")
        },
        "/.well-known/oauth-protected-resource": {"get": _resource()},
        "/api/openapi.json": {"get": _openapi()},
        "/live": {"get": _live()},
        "/ready": {"get": _ready("read_readiness", "Can this process issue tokens?")},
        "/health": {"get": _ready("read_health", "The same as /ready")},
        "/api/v1/health": {"get": _ready("read_api_health", "The same as /ready, under the path of the API")},
    }


def schemas() -> dict[str, Part]:
    return {"JWKSet": _jwk_set(), "Metadata": _metadata_schema(), "ProtectedResource": _resource_schema(), "Readiness": _readiness()}


def _jwks() -> Part:
    return _document(
        "read_jwks",
        "The public signing keys (RFC 7517)",
        "All keys that a verifier may meet. Never empty: a server without a key answers 503.",
        answer("The key set.", ref("JWKSet"), keys={"keys": [_JWK]}),
        UNAVAILABLE,
    )


def _metadata(operation_id: str, summary: str) -> Part:
    return _document(
        operation_id,
        summary,
        "Every URL in it is made from the configured issuer.",
        answer("The metadata.", ref("Metadata"), metadata=metadata.document(algorithms=[settings.KEY_ALGORITHM])),
    )


def _resource() -> Part:
    return _document(
        "read_protected_resource",
        "This server's JSON API as a protected resource (RFC 9728)",
        "Where its tokens come from, and which scopes it asks for.",
        answer("The metadata.", ref("ProtectedResource"), metadata=metadata.resource_document()),
    )


def _openapi() -> Part:
    small = {"openapi": "3.1.0", "info": {"title": "authserver", "version": "0.1.0"}, "paths": {}}
    schema = {"type": "object", "required": ["openapi", "info", "paths"]}
    return _document("read_openapi", "This document", "OpenAPI 3.1.", answer("The document.", schema, beginning=small))


def _document(operation_id: str, summary: str, description: str, found: Part, *errors: OAuthError) -> Part:
    return {
        "operationId": operation_id,
        "summary": summary,
        "description": description,
        "tags": [DOCUMENTS],
        "security": NOBODY_IN_PARTICULAR,
        "parameters": [_IF_NONE_MATCH],
        "responses": {
            "200": found | {"headers": _CACHING},
            "304": {"description": "The document has not changed.", "headers": _CACHING},
            **refusals(_HOST, *errors),
        },
    }


def _live() -> Part:
    schema = record("The process answers.", {"status": {"const": "ok"}})
    return {
        "operationId": "read_liveness",
        "summary": "Does the process answer?",
        "description": "It asks nothing of the database. Like the other probes it answers whatever the `Host` says, and over plain HTTP.",
        "tags": [OPERATIONS],
        "security": NOBODY_IN_PARTICULAR,
        "responses": {"200": answer("It does.", schema, ok={"status": "ok"}), **refusals()},
    }


def _ready(operation_id: str, summary: str) -> Part:
    return {
        "operationId": operation_id,
        "summary": summary,
        "description": "200 when the database answers and takes writes, and there is a signing key. Warnings change nothing in that.",
        "tags": [OPERATIONS],
        "security": NOBODY_IN_PARTICULAR,
        "responses": {
            "200": answer("It can.", ref("Readiness"), ok=_READY),
            **refusals(),
            "503": answer("It cannot; the body says what is missing.", ref("Readiness"), unavailable=_NOT_READY),
        },
    }


def _readiness() -> Part:
    members = {
        "status": {"enum": ["ok", "unavailable", "stopping"]},
        "database": {"enum": ["ok", "unavailable", "read-only", "slow"]},
        "signing_key": {
            "enum": ["ok", "missing", "unreadable", "stale"],
            "description": "`unreadable`: does not open with the server's encryption keys. `stale`: not read anew for 15 seconds.",
        },
        "warnings": {
            "type": "array",
            "items": {"enum": [instances.WITHOUT_REDIS, instances.SETTINGS_DIFFER]},
            "description": "In which ways the instances of the server do not go together; missing when they do.",
        },
    }
    return record("Whether this process can issue tokens, and what is missing if not.", members, optional=("warnings",))


def _jwk_set() -> Part:
    kinds = (
        _jwk("RSA", "RS256", {"n": _number("The modulus."), "e": _number("The exponent.")}),
        _jwk("EC", "ES256", {"crv": {"const": "P-256"}, "x": _number("A coordinate."), "y": _number("The other one.")}),
        _jwk("OKP", "EdDSA", {"crv": {"const": "Ed25519"}, "x": _number("The public key.")}),
    )
    items = {"description": "A public key.", "oneOf": list(kinds)}
    return record("A JWK Set. A server has keys of one kind, or of two while its algorithm changes.", {"keys": _at_least_one(items)})


def _jwk(kty: str, alg: str, members: Part) -> Part:
    kid = text("Names the key in the header of a token.")
    return record(f"A key for {alg}.", {"kty": {"const": kty}, "use": {"const": "sig"}, "alg": {"const": alg}, "kid": kid} | members)


def _number(description: str) -> Part:
    return text(description, pattern="^[A-Za-z0-9_-]+$")


def _at_least_one(items: Part) -> Part:
    return {"type": "array", "minItems": 1, "items": items}


def _metadata_schema() -> Part:
    url = {"type": "string", "format": "uri"}
    methods = words("How clients authenticate there.")
    members = {
        "issuer": url | {"description": "As in the claim `iss`."},
        "authorization_endpoint": url,
        "userinfo_endpoint": url,
        "end_session_endpoint": url,
        "service_documentation": url,
        "token_endpoint": url,
        "device_authorization_endpoint": url,
        "revocation_endpoint": url,
        "introspection_endpoint": url,
        "jwks_uri": url,
        "access_token_signing_alg_values_supported": words("The algorithms of the published keys: what verifiers have to know."),
        "grant_types_supported": words("Those that are switched on."),
        "response_types_supported": words("Of the authorization endpoint."),
        "response_modes_supported": words("How its answer travels."),
        "code_challenge_methods_supported": words("PKCE (RFC 7636)."),
        "authorization_response_iss_parameter_supported": {"const": True, "description": "RFC 9207."},
        "prompt_values_supported": words("What a request may ask of the person."),
        "subject_types_supported": words("`sub` is the same for every client."),
        "id_token_signing_alg_values_supported": words("The algorithms of the published keys."),
        "acr_values_supported": words("`1`: one factor; `2`: two, or a passkey."),
        "claims_supported": words("Of the id_token and of userinfo."),
        "claim_types_supported": words("No distributed claims."),
        "claims_parameter_supported": {"const": False},
        "request_parameter_supported": {"const": False},
        "request_uri_parameter_supported": {"const": False},
        "ui_locales_supported": words("The languages of the pages."),
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "scopes_supported": words("All scopes that there are."),
    }
    return record("The metadata of RFC 8414 and of OpenID Connect Discovery 1.0.", members)


def _resource_schema() -> Part:
    url = {"type": "string", "format": "uri"}
    members = {
        "resource": url | {"description": "What a client names as `resource` (RFC 8707)."},
        "authorization_servers": {"type": "array", "items": url},
        "jwks_uri": url,
        "scopes_supported": words("What the API asks for."),
        "bearer_methods_supported": words("How the token is sent."),
        "resource_documentation": url,
    }
    return record("The metadata of RFC 9728.", members)
