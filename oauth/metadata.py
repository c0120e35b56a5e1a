"""What this server offers, for clients that are given the issuer alone (RFC 8414)."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings

from oauth import grant_types, public_documents

_WITH_A_SECRET = ("client_secret_basic", "client_secret_post")


def document(*, algorithms: Sequence[str]) -> dict[str, Any]:
    """Exactly what is switched on; `algorithms` are those of the published keys. URLs come from the issuer, never from the request."""
    base = settings.JWT_ISSUER.rstrip("/")
    return {
        "issuer": settings.JWT_ISSUER,
        "token_endpoint": f"{base}/oauth/token",
        "jwks_uri": f"{base}/.well-known/jwks.json",
        # Not registered, as RFC 8414 §2 allows: no other member tells which algorithms a verifier has to know.
        "access_token_signing_alg_values_supported": list(algorithms),
        "grant_types_supported": list(grant_types.offered()),
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": [*_WITH_A_SECRET, "none"],
        "introspection_endpoint": f"{base}/oauth/introspect",
        "introspection_endpoint_auth_methods_supported": [*_WITH_A_SECRET],
        "revocation_endpoint": f"{base}/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": [*_WITH_A_SECRET, "none"],
        "device_authorization_endpoint": f"{base}/oauth/device_authorization",
        "scopes_supported": sorted(settings.SCOPES),
    }


def body(*, algorithms: Sequence[str]) -> tuple[bytes, str]:
    """The document as sent, and its ETag."""
    return public_documents.as_body(document(algorithms=algorithms))
