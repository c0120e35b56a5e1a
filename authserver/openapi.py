"""The OpenAPI document: the JSON API as drf-spectacular reads it from its views, and by hand every other endpoint."""

from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator

from authserver import openapi_devices, openapi_grants, openapi_public, openapi_security, openapi_tokens, openapi_views
from authserver.openapi_parts import Part, refusal_schema
from oauth import public_documents

_BY_HAND = (openapi_grants, openapi_devices, openapi_tokens, openapi_public)
_DESCRIPTION = """\
An OAuth 2 authorization server. Applications get their tokens at `/oauth/token`; any service verifies them with the published keys.

What is refused is answered with a JSON object: programs decide by `error` and the status, and an operator finds the true reason
under `error_id`. An unknown path is refused with `not_found`; another method than those described with 405, `invalid_request` and
`Allow`. Where GET is answered, HEAD is too."""
_TAGS = {
    openapi_grants.TOKENS: "For clients.",
    openapi_views.ACCOUNT: "For the user of an access token.",
    openapi_views.ADMINISTRATION: "For staff who signed in with a second factor.",
    openapi_public.DOCUMENTS: "For verifiers and developers.",
    openapi_public.OPERATIONS: "For probes.",
}


@cache
def body() -> tuple[bytes, str]:
    """The document as sent, and its ETag; made once in each process."""
    return public_documents.as_body(document())


def document() -> Part:
    made: Part = SchemaGenerator().get_schema(request=None, public=True)
    return made


def complete(result: Part, **_: Any) -> Part:
    """Add what drf-spectacular cannot know. It calls this when it has read the views (POSTPROCESSING_HOOKS)."""
    by_hand = {path: item for module in _BY_HAND for path, item in module.paths().items()}
    schemas = {name: schema for module in _BY_HAND for name, schema in module.schemas().items()}
    read = {
        path: {method: openapi_views.complete(operation, path=path, method=method) for method, operation in item.items()}
        for path, item in result["paths"].items()
    }
    return result | {
        "info": result["info"] | {"description": _DESCRIPTION},
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": by_hand | read,
        "components": {
            "schemas": result["components"]["schemas"] | schemas | {"Refusal": refusal_schema()},
            "securitySchemes": openapi_security.schemes(),
        },
    }
