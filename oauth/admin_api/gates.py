"""Who may use the administrators' API, and for what: each view names a permission for each of its methods."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn
from uuid import UUID

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from rest_framework import generics
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import clock, encryption, users
from accounts.api import actor, user_of
from accounts.bodies import Body, Text
from accounts.models import User
from accounts.recent_sign_in import RECENT
from oauth import clients, key_rotation, scopes
from oauth.bearer import HasScope, claims_of
from oauth.errors import Conflict, InvalidRequest, NotFound, NotPermitted, SecondFactorMissing, SignInTooOld

if TYPE_CHECKING:
    from rest_framework.views import APIView

# A hardware key that asked for its owner is two factors by itself (RFC 8176).
SECOND_FACTORS = frozenset({"mfa", "hwk"})
LAST_SUPERUSER = "This is the last active superuser. Make another one first."


class MayAdminister(BasePermission):
    """The token's user is staff with the view's permissions and signed in with a second factor; who changes something did so just now."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        user, claims = user_of(request), claims_of(request)
        # SECURITY: or a user who was staff once goes on with the permissions that were left to them.
        if not user.is_staff:
            raise NotPermitted("not staff", user_id=user.pk)
        ensure_permitted(user, _permissions_for(request, view))
        # SECURITY: or a password that was found out opens everything.
        if not SECOND_FACTORS & {*claims.get("amr", ())}:
            raise SecondFactorMissing("no second factor at sign-in")
        # SECURITY: or a token that was taken from a browser left alone changes keys, secrets and people.
        if request.method not in SAFE_METHODS and clock.now().timestamp() - claims.get("auth_time", 0) >= RECENT.total_seconds():
            raise SignInTooOld("signed in too long ago")
        return True


class AdminView(generics.GenericAPIView[Any]):
    """`permissions` names what each method needs. A method that is not named is for nobody."""

    required_scope = scopes.ADMIN
    permission_classes = (HasScope, MayAdminister)
    permissions: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def user_within_reach(self, id: str) -> User:
        """The user with this id. Raises NotFound, and NotPermitted for staff unless a superuser asks."""
        user = find_user(id)
        # SECURITY: or support takes over who may do more.
        if not users.may_touch(user_of(self.request), user):
            raise NotPermitted("staff are for superusers alone", user_id=user.pk)
        return user

    def handle_exception(self, exc: Exception) -> Response:
        return super().handle_exception(_as_refusal(exc) or exc)


class AdminList(AdminView, generics.ListAPIView[Any]):
    """GET: pages of `get_queryset`."""


class Reason(Body):
    """Of acts that may be told why."""

    reason = Text(max_length=200, required=False, allow_blank=True, default="", help_text="Why; it is kept in the audit log.")


class Why(Body):
    """Of acts that must be told why."""

    reason = Text(max_length=200, help_text="Why; it is kept in the audit log.")


def record_of(request: Request, reason: str) -> dict[str, Any]:
    """Who acts, and why, as the operations take it."""
    return {"actor": actor(request), "reason": reason}


def reason_in_query(request: Request) -> str:
    """Of a DELETE, whose body would mean nothing (RFC 9110 §9.3.5)."""
    return word_in_query(request, "reason", most=200)


def word_in_query(request: Request, name: str, *, most: int = 254) -> str:
    """A parameter of the query string, empty when it is not there. Raises what REST framework raises for a malformed one."""
    text: str = Text(max_length=most, allow_blank=True).run_validation(request.query_params.get(name, ""))
    return text


def ensure_permitted(user: User, permissions: tuple[str, ...] | None) -> None:
    """Raises NotPermitted."""
    # SECURITY: a view that names nothing for a method is a mistake, and opens to nobody.
    if not permissions or not user.has_perms(permissions):
        raise NotPermitted(f"lacks one of {', '.join(permissions or ('what nobody has',))}", user_id=user.pk)


def find_user(id: str) -> User:
    """Raises NotFound."""
    user: User | None = User.objects.filter(pk=as_uuid(id)).first()
    return user if user is not None else refuse_unknown("user")


def as_uuid(text: str) -> UUID:
    """Raises NotFound."""
    return find_uuid(text) or refuse_unknown("id")


def find_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def refuse_unknown(what: str) -> NoReturn:
    raise NotFound(f"There is no such {what}.")


def _permissions_for(request: Request, view: "APIView") -> tuple[str, ...] | None:
    named: Mapping[str, tuple[str, ...]] = getattr(view, "permissions", {})
    return named.get("GET" if request.method == "HEAD" else request.method or "")


def _as_refusal(error: Exception) -> Exception | None:
    """What the operations behind the admin's pages refuse, in the words of the wire."""
    match error:
        case ValidationError():
            return _as_invalid(error)
        case users.LastSuperuser():
            return Conflict(LAST_SUPERUSER)
        case users.OutOfReach():
            return NotPermitted("staff are for superusers alone")
        case clients.SecretChanged():
            return Conflict("The secret was changed meanwhile. Nothing was done now.")
        case key_rotation.Conflict():
            return Conflict(str(error))
        case encryption.Undecryptable():
            return Conflict("The private key does not open with this server's encryption keys. Nothing was done.")
        case _:
            return None


def _as_invalid(error: ValidationError) -> InvalidRequest:
    """What is wrong with which member, for who sent it. These texts may quote what was sent, so the log has the members' names alone."""
    named = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
    texts = {name: " ".join(each) for name, each in named.items()}
    refusal = InvalidRequest(" ".join(text if name == NON_FIELD_ERRORS else f"{name}: {text}" for name, text in texts.items()))
    refusal.reason = f"members refused: {', '.join(sorted(texts))}"
    return refusal
