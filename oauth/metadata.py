"""What this server offers, for clients that are given the issuer alone (RFC 8414, OpenID Connect Discovery 1.0, RFC 9728)."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings

from oauth import authorization_request, grant_types, public_documents, userinfo

_WITH_A_SECRET = ("client_secret_basic", "client_secret_post")


def document(*, algorithms: Sequence[str]) -> dict[str, Any]:
    """Exactly what is switched on, the same for both well-known places; `algorithms` are those of the published keys.

    URLs come from the issuer, never from the request.
    """
    base = settings.JWT_ISSUER.rstrip("/")
    return {
        "issuer": settings.JWT_ISSUER,
        "authorization_endpoint": f"{base}/oauth/authorize",
        "token_endpoint": f"{base}/oauth/token",
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "userinfo_endpoint": f"{base}/oauth/userinfo",
        "end_session_endpoint": f"{base}/oauth/logout",
        # Not registered, as RFC 8414 §2 allows: no other member tells which algorithms a verifier has to know.
        "access_token_signing_alg_values_supported": list(algorithms),
        "id_token_signing_alg_values_supported": list(algorithms),
        "subject_types_supported": ["public"],
        "grant_types_supported": list(grant_types.offered()),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "prompt_values_supported": list(authorization_request.PROMPTS),
        "token_endpoint_auth_methods_supported": [*_WITH_A_SECRET, "none"],
        "introspection_endpoint": f"{base}/oauth/introspect",
        "introspection_endpoint_auth_methods_supported": [*_WITH_A_SECRET],
        "revocation_endpoint": f"{base}/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": [*_WITH_A_SECRET, "none"],
        "device_authorization_endpoint": f"{base}/oauth/device_authorization",
        **({"registration_endpoint": f"{base}/oauth/register"} if settings.CLIENT_REGISTRATION_TOKEN else {}),
        "scopes_supported": sorted(settings.SCOPES),
        "claims_supported": _claims(),
        "claim_types_supported": ["normal"],
        "acr_values_supported": ["1", "2"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "ui_locales_supported": [code for code, _ in settings.LANGUAGES],
        "service_documentation": f"{base}/api/docs",
    }


def body(*, algorithms: Sequence[str]) -> tuple[bytes, str]:
    """The document as sent, and its ETag."""
    return public_documents.as_body(document(algorithms=algorithms))


def resource_document() -> dict[str, Any]:
    """RFC 9728 §2, of this server's own JSON API."""
    return {
        "resource": settings.JWT_ISSUER,
        "authorization_servers": [settings.JWT_ISSUER],
        "jwks_uri": f"{settings.JWT_ISSUER.rstrip('/')}/.well-known/jwks.json",
        "scopes_supported": ["api:read", "auth:account", "auth:admin"],
        "bearer_methods_supported": ["header"],
        "resource_documentation": f"{settings.JWT_ISSUER.rstrip('/')}/api/docs",
    }


def resource_body() -> tuple[bytes, str]:
    return public_documents.as_body(resource_document())


def _claims() -> list[str]:
    of_the_token = ("iss", "sub", "aud", "azp", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid")
    return [*of_the_token, *(claim for claims in userinfo.CLAIMS.values() for claim in claims)]
