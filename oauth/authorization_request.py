"""An authorization request: who asks for what, and where the answer may go (RFC 6749 §4.1.1, RFC 7636, OpenID Connect Core 1.0 §3.1.2).

Until client and redirect URI are proven, a refusal is `Unsafe` and told to the person at the browser; from then on it is
`Returned` and sent to the client.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from oauth import redirect_uris, scopes
from oauth.errors import (
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    OAuthError,
    RegistrationNotSupported,
    RequestNotSupported,
    RequestUriNotSupported,
    UnauthorizedClient,
    UnsupportedResponseType,
)
from oauth.models import AUTHORIZATION_CODE, Client

NONE, LOGIN, CONSENT, SELECT_ACCOUNT = PROMPTS = ("none", "login", "consent", "select_account")
MOST_STATE = 2048
MOST_NONCE = 255
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_AGE = re.compile(r"[0-9]{1,9}")

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class AuthorizationRequest:
    """One that may be answered. `max_age` in seconds; `audience` empty: the client's; `sent_redirect_uri` empty: none was sent."""

    client: Client
    redirect_uri: str
    sent_redirect_uri: str
    scope: str
    state: str
    code_challenge: str
    nonce: str
    audience: str
    prompt: frozenset[str]
    max_age: int | None
    login_hint: str
    id_token_hint: str


class Unsafe(Exception):
    """The answer must not leave this server: nothing proves whose address it would go to (RFC 6749 §4.1.2.1)."""

    def __init__(self, refusal: OAuthError) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class Returned(Exception):
    """A refusal that the client is told, at the redirect URI that is proven to be its own."""

    def __init__(self, refusal: OAuthError, *, redirect_uri: str, state: str) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal
        self.redirect_uri = redirect_uri
        self.state = state


def parse(pairs: Pairs, *, find_client: Callable[[str], Client | None]) -> AuthorizationRequest:
    """Raises Unsafe, Returned."""
    client, redirect_uri = _proven(pairs, find_client=find_client)
    with returning_to(redirect_uri, state=_state(pairs)):
        _ensure_supported(pairs, client=client)
        return AuthorizationRequest(
            client=client,
            redirect_uri=redirect_uri,
            sent_redirect_uri=_single(pairs, "redirect_uri"),
            scope=_scope(pairs, client=client),
            state=_single(pairs, "state"),
            code_challenge=_code_challenge(pairs, client=client),
            nonce=_bounded(pairs, "nonce", MOST_NONCE),
            audience=_audience(pairs, client=client),
            prompt=_prompt(pairs),
            max_age=_max_age(pairs),
            login_hint=_bounded(pairs, "login_hint", 320),
            id_token_hint=_single(pairs, "id_token_hint"),
        )


@contextmanager
def returning_to(redirect_uri: str, *, state: str) -> Iterator[None]:
    """Whatever is refused inside goes to the client."""
    try:
        yield
    except OAuthError as refusal:
        raise Returned(refusal, redirect_uri=redirect_uri, state=state) from refusal


def _proven(pairs: Pairs, *, find_client: Callable[[str], Client | None]) -> tuple[Client, str]:
    """The client, and the address that is registered for it. Raises Unsafe."""
    try:
        client_id, sent = _single(pairs, "client_id"), _single(pairs, "redirect_uri")
        client = find_client(client_id) if client_id else None
        if client is None or not client.is_active:
            raise InvalidRequest("No app is known here by this client_id, or it is switched off.")
        # SECURITY: before anything is answered, with prompt=none too: or this server sends people, and codes, to whoever asks.
        return client, _redirect_uri(sent, client=client)
    except OAuthError as refusal:
        raise Unsafe(refusal) from refusal


def _redirect_uri(sent: str, *, client: Client) -> str:
    registered = client.redirect_uris.split()
    if not sent:
        if len(registered) != 1:
            raise InvalidRequest("The parameter redirect_uri is missing.", client_id=client.client_id)
        return str(registered[0])
    if not redirect_uris.is_among(sent, registered=registered):
        refusal = InvalidRequest("The redirect_uri is none of those that are registered for this app.", client_id=client.client_id)
        # For who has to compare the two; what stands behind a question mark may be somebody's secret.
        refusal.reason = f"redirect_uri not registered: {sent.partition('?')[0][:150]}"
        raise refusal
    return sent


def _state(pairs: Pairs) -> str:
    """What goes back with a refusal, word for word; of several, none."""
    try:
        return _single(pairs, "state")
    except InvalidRequest:
        return ""


def _ensure_supported(pairs: Pairs, *, client: Client) -> None:
    names = [name for name, value in pairs if value and name != "resource"]
    if len(names) != len(set(names)):
        raise InvalidRequest("A parameter is repeated.")
    for name, refusal in (
        ("request", RequestNotSupported),
        ("request_uri", RequestUriNotSupported),
        ("registration", RegistrationNotSupported),
    ):
        if name in names:
            raise refusal()
    response_type = _single(pairs, "response_type")
    if not response_type:
        raise InvalidRequest("The parameter response_type is missing or empty.")
    if response_type != "code" or _single(pairs, "response_mode") not in {"", "query"}:
        raise UnsupportedResponseType()
    if not client.allows_grant_type(AUTHORIZATION_CODE):
        raise UnauthorizedClient("authorization_code not among the client's grant types")
    if len(_single(pairs, "state")) > MOST_STATE:
        raise InvalidRequest(f"The parameter state has more than {MOST_STATE} characters.")


def _scope(pairs: Pairs, *, client: Client) -> str:
    try:
        asked = scopes.parse(_single(pairs, "scope") or client.default_scopes)
    except scopes.Malformed:
        raise InvalidScope("scope is malformed") from None
    if not asked:
        raise InvalidScope("no scope asked for, and the client has no default")
    # SECURITY: the client's list bounds every token, whoever signs in through it.
    if not asked <= client.allowed_scope_set:
        raise InvalidScope("scope not allowed to this client")
    return scopes.format(asked)


def _code_challenge(pairs: Pairs, *, client: Client) -> str:
    challenge, method = _single(pairs, "code_challenge"), _single(pairs, "code_challenge_method")
    if not challenge:
        # SECURITY: or whoever intercepts the code spends it (RFC 9700 §2.1.1).
        if client.needs_pkce:
            raise InvalidRequest("The parameter code_challenge is missing: PKCE is required (RFC 7636).")
        if method:
            raise InvalidRequest("code_challenge_method came without a code_challenge.")
        return ""
    # SECURITY: plain, also by leaving the method out, shows the verifier to whoever sees the request (RFC 7636 §7.2).
    if method != "S256":
        raise InvalidRequest("code_challenge_method must be S256.")
    if not _CHALLENGE.fullmatch(challenge):
        raise InvalidRequest("code_challenge is no base64url of a SHA-256 digest.")
    return challenge


def _audience(pairs: Pairs, *, client: Client) -> str:
    """The one resource that was asked for (RFC 8707 §2); a token here is for one audience."""
    asked = {value for name, value in pairs if name == "resource" and value}
    if not asked:
        return ""
    if len(asked) > 1:
        raise InvalidTarget("more than one resource")
    [resource] = asked
    if resource not in client.resource_set:
        raise InvalidTarget("resource not among the client's")
    return resource


def _prompt(pairs: Pairs) -> frozenset[str]:
    prompt = frozenset(_single(pairs, "prompt").split())
    if not prompt <= frozenset(PROMPTS):
        raise InvalidRequest("prompt may hold none, login, consent and select_account.")
    if NONE in prompt and len(prompt) > 1:
        raise InvalidRequest("prompt=none stands alone.")
    return prompt


def _max_age(pairs: Pairs) -> int | None:
    value = _single(pairs, "max_age")
    if not value:
        return None
    if not _AGE.fullmatch(value):
        raise InvalidRequest("max_age is a number of seconds.")
    return int(value)


def _bounded(pairs: Pairs, name: str, most: int) -> str:
    value = _single(pairs, name)
    if len(value) > most:
        raise InvalidRequest(f"The parameter {name} has more than {most} characters.")
    return value


def _single(pairs: Pairs, name: str) -> str:
    """The value, empty when there is none: an empty one counts as absent (RFC 6749 §3.1). Raises InvalidRequest."""
    values = [value for each, value in pairs if each == name]
    if len(values) > 1:
        raise InvalidRequest(f"The parameter {name} is repeated.")
    return values[0] if values else ""
