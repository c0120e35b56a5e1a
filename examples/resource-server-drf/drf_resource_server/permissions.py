"""What the bearer of a token may do: its scopes."""

from typing import TYPE_CHECKING

from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from drf_resource_server.authentication import token_of
from drf_resource_server.refusals import InsufficientScope

if TYPE_CHECKING:
    from rest_framework.views import APIView  # at run time REST framework imports this module while it makes its views


class HasScopes(BasePermission):
    """The token has all scopes that the view's `required_scopes` names for the method; a view without it opens to nobody.

    `required_scopes = {"GET": ["api:read"], "POST": ["api:write"]}`; an empty list takes any good token.
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if request.auth is None:
            return False
        by_method: dict[str, list[str]] | None = getattr(view, "required_scopes", None)
        if by_method is None:
            return False
        method = "GET" if request.method == "HEAD" else request.method or ""
        if method not in by_method:
            raise MethodNotAllowed(method)
        return _holds(request, by_method[method])


def HasScope(*scopes: str) -> type[BasePermission]:
    """A permission class for these scopes, whatever the method: `permission_classes = [HasScope("api:read")]`."""

    class Required(BasePermission):
        def has_permission(self, request: Request, view: "APIView") -> bool:
            return request.auth is not None and _holds(request, list(scopes))

    return Required


def _holds(request: Request, required: list[str]) -> bool:
    """Raises InsufficientScope, which names what is missing."""
    missing = [scope for scope in required if scope not in token_of(request).scopes]
    if missing:
        raise InsufficientScope(missing[0])
    return True
