"""What is asked and decided, once for threads and for coroutines: how to wait and to send is left to a shell."""

import base64
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import httpx

from authserver_client.errors import AuthError, InvalidGrant, TemporarilyUnavailable, TryLater, refusal
from authserver_client.stores import TokenStore
from authserver_client.tokens import Held, Tokens

T = TypeVar("T")

PAUSES_SECONDS = (0.5, 1.0, 2.0)  # between the tries of what may be repeated
REPEAT_SECONDS = 45  # the server repeats the answer to a refresh for 60, and the last try takes its time too
LATER_SECONDS = 10  # until the next early refresh, after one that failed
LOCK_SECONDS, LOCK_POLL_SECONDS = 120, 0.02


class Shell(Protocol):
    """How to do it: with threads, or with coroutines."""

    async def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> httpx.Response: ...
    async def sleep(self, seconds: float) -> None: ...
    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """For what reads and writes files and keyrings."""

    async def share(self, work: Callable[[], Coroutine[Any, Any, str]]) -> str:
        """The result of `work`, or of the one that is going on already; its error too."""


class Session:
    """One user at one server, for one client."""

    def __init__(self, shell: Shell, *, base_url: str, client_id: str, client_secret: str | None, store: TokenStore) -> None:
        if httpx.URL(base_url).scheme not in {"http", "https"}:
            raise ValueError("base_url has to begin with http:// or https://.")
        self._shell, self._base_url, self._store = shell, base_url.rstrip("/"), store
        self._held: Held | None = None
        self._client_form: dict[str, str] = {}
        self._client_headers: dict[str, str] = {}
        if client_secret is None:
            self._client_form = {"client_id": client_id}
        else:  # both parts are form-encoded before they become Basic (RFC 6749 §2.3.1)
            credentials = f"{quote(client_id, safe='')}:{quote(client_secret, safe='')}"
            self._client_headers = {"Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}

    async def sign_in(self, username: str, password: str, *, scope: str | None) -> None:
        form = {"grant_type": "password", "username": username, "password": password} | ({"scope": scope} if scope else {})
        # Once: a lost answer may have counted as a wrong password, and the user is there to decide.
        tokens = await self._ask(form, pauses=())
        async with self._alone():
            await self._keep(tokens)

    async def access_token(self, refused: str | None) -> str:
        held = await self._current()
        if held.serves(refused):
            return held.tokens.access_token
        try:
            return await self._shell.share(partial(self._renew, held.tokens.access_token))
        except TryLater:
            if held.tokens.access_token == refused or time.monotonic() >= held.expires_at:
                raise
            held.renew_at = time.monotonic() + LATER_SECONDS  # it was early: the token that there is still serves
            return held.tokens.access_token

    async def refresh(self) -> str:
        held = await self._current()
        return await self._shell.share(partial(self._renew, held.tokens.access_token))

    async def sign_out(self) -> None:
        async with self._alone():
            try:
                if tokens := await self._shell.call(self._store.load):
                    await self._post("/oauth/revoke", {"token": tokens.refresh_token or tokens.access_token}, pauses=PAUSES_SECONDS)
            finally:
                await self._keep(None)

    async def _current(self) -> Held:
        """What is in memory, or else in the store. Raises InvalidGrant."""
        if held := self._held:
            return held
        self._held = held = await self._stored()
        return held

    async def _stored(self) -> Held:
        tokens = await self._shell.call(self._store.load)
        if tokens is None:
            self._held = None
            raise InvalidGrant("Nobody is signed in: sign in first.")
        return Held.of(tokens)

    async def _renew(self, stale: str) -> str:
        """An access token other than `stale`, from a refresh of our own or of somebody who shares the store and was faster."""
        async with self._alone():
            held = await self._stored()
            if not held.serves(refused=stale):
                held = await self._spend(held.tokens)
            self._held = held
            return held.tokens.access_token

    async def _spend(self, tokens: Tokens) -> Held:
        """Trade the refresh token for the next one. An error that says nothing about the session leaves everything as it was."""
        if not tokens.refresh_token:
            raise InvalidGrant("This client gets no refresh tokens: sign in again.")
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
        try:
            fresh = await self._ask(form, headers={"Idempotency-Key": tokens.refresh_key}, pauses=PAUSES_SECONDS)
        except InvalidGrant:
            await self._keep(None)
            raise
        await self._keep(fresh)
        return Held.of(fresh)

    async def _keep(self, tokens: Tokens | None) -> None:
        self._held = Held.of(tokens) if tokens else None
        await self._shell.call(self._store.save, tokens)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        gives_up_at = time.monotonic() + LOCK_SECONDS
        while not self._store.try_lock():
            if time.monotonic() >= gives_up_at:
                raise TemporarilyUnavailable("Somebody else does not let go of the token store: look for a process that hangs.")
            await self._shell.sleep(LOCK_POLL_SECONDS)
        try:
            yield
        finally:
            self._store.unlock()

    async def _ask(self, form: Mapping[str, str], *, pauses: tuple[float, ...], headers: Mapping[str, str] | None = None) -> Tokens:
        response, sent_at = await self._post("/oauth/token", form, headers=headers, pauses=pauses)
        return Tokens.answered(response, sent_at=sent_at)

    async def _post(
        self, path: str, form: Mapping[str, str], *, pauses: tuple[float, ...], headers: Mapping[str, str] | None = None
    ) -> tuple[httpx.Response, float]:
        """The successful answer, and when it was asked for. What passes by itself is tried again after each of the pauses."""
        first_at = time.monotonic()
        for pause in (*pauses, None):
            sent_at = time.monotonic()
            answer = await self._try(path, {**form, **self._client_form}, {**self._client_headers, **(headers or {})})
            if isinstance(answer, httpx.Response):
                return answer, sent_at
            if pause is None or not isinstance(answer, TryLater):
                raise answer
            wait = max(answer.retry_after or 0, pause * random.uniform(0.5, 1))  # noqa: S311 - nobody gains by guessing it
            if time.monotonic() + wait > first_at + REPEAT_SECONDS:
                raise answer
            await self._shell.sleep(wait)
        raise AssertionError("the last pause is None")

    async def _try(self, path: str, form: Mapping[str, str], headers: Mapping[str, str]) -> httpx.Response | AuthError:
        try:
            response = await self._shell.post(f"{self._base_url}{path}", form, headers)
        except httpx.RequestError as failure:  # it may have been carried out all the same, and the answer alone be lost
            lost = type(failure).__name__
        else:
            return response if response.is_success else refusal(response)
        # SECURITY: made out here, so that it does not lead to the request, in whose body the secrets are.
        return TemporarilyUnavailable(f"{self._base_url} did not answer ({lost}).")
