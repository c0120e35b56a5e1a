"""The two clients, for threads and for coroutines, and how they sign the requests of httpx."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Mapping
from concurrent.futures import Future
from typing import Any, Self, TypeVar

import httpx

from authserver_client.session import Session
from authserver_client.stores import MemoryStore, TokenStore

T = TypeVar("T")
TIMEOUT_SECONDS = 10


class AuthClient:
    """For threads, which may share it."""

    def __init__(
        self,
        base_url: str,
        client_id: str,
        *,
        client_secret: str | None = None,
        store: TokenStore | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        """`http` is for who needs certificates, proxies or time limits of their own; close it yourself."""
        self._http, self._is_own = http or httpx.Client(timeout=TIMEOUT_SECONDS), http is None
        self._session = Session(
            _Blocking(self._http), base_url=base_url, client_id=client_id, client_secret=client_secret, store=store or MemoryStore()
        )
        self.auth: httpx.Auth = _Bearer(self.access_token, lambda refused: asyncio.to_thread(self.access_token, refused))

    def sign_in(self, username: str, password: str, *, scope: str | None = None) -> None:
        """Raises InvalidGrant, AccountLocked, MfaRequired, TryLater, InvalidClient."""
        _finish(self._session.sign_in(username, password, scope=scope))

    def access_token(self, refused: str | None = None) -> str:
        """One that is good for a while, and not the `refused` one. Raises InvalidGrant, TryLater, InvalidClient."""
        return _finish(self._session.access_token(refused))

    def refresh(self) -> str:
        """An access token newer than the one that this client holds, however good that is. Raises as `access_token` does."""
        return _finish(self._session.refresh())

    def sign_out(self) -> None:
        """End the session. Raises TryLater when the server was not told; here the tokens are gone in any case."""
        _finish(self._session.sign_out())

    def close(self) -> None:
        if self._is_own:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncAuthClient:
    """For the coroutines of one event loop. Each method raises what that of `AuthClient` raises."""

    def __init__(
        self,
        base_url: str,
        client_id: str,
        *,
        client_secret: str | None = None,
        store: TokenStore | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._http, self._is_own = http or httpx.AsyncClient(timeout=TIMEOUT_SECONDS), http is None
        self._session = Session(
            _Waiting(self._http), base_url=base_url, client_id=client_id, client_secret=client_secret, store=store or MemoryStore()
        )
        self.auth: httpx.Auth = _Bearer(_refuse_to_block, self.access_token)

    async def sign_in(self, username: str, password: str, *, scope: str | None = None) -> None:
        await self._session.sign_in(username, password, scope=scope)

    async def access_token(self, refused: str | None = None) -> str:
        return await self._session.access_token(refused)

    async def refresh(self) -> str:
        return await self._session.refresh()

    async def sign_out(self) -> None:
        await self._session.sign_out()

    async def aclose(self) -> None:
        if self._is_own:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class _Bearer(httpx.Auth):
    """Sends the access token along. A request that is answered 401 is sent once more, with the next token, if its body can be."""

    def __init__(self, get: Callable[[str | None], str], aget: Callable[[str | None], Awaitable[str]]) -> None:
        self._get, self._aget = get, aget

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        token = self._get(None)
        response = yield _signed(request, token)
        if _is_worth_another_try(request, response):
            yield _signed(request, self._get(token))

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self._aget(None)
        response = yield _signed(request, token)
        if _is_worth_another_try(request, response):
            yield _signed(request, await self._aget(token))


def _signed(request: httpx.Request, token: str) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {token}"
    return request


def _is_worth_another_try(request: httpx.Request, response: httpx.Response) -> bool:
    """What is read from a file or a generator is gone once it was sent; its 401 is the caller's."""
    return response.status_code == httpx.codes.UNAUTHORIZED and isinstance(request.stream, httpx.ByteStream)


def _refuse_to_block(_refused: str | None) -> str:
    raise TypeError("AsyncAuthClient.auth is for httpx.AsyncClient: give AuthClient.auth to httpx.Client.")


class _Blocking:
    """The shell of threads. Nothing in it waits for an event loop, so that `_finish` gets through in one step."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._mutex = threading.Lock()
        self._flight: Future[str] | None = None

    async def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> httpx.Response:
        return self._http.request("POST", url, data=form, headers=headers, auth=None, follow_redirects=False)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        return function(*arguments)

    async def share(self, work: Callable[[], Coroutine[Any, Any, str]]) -> str:
        own: Future[str] = Future()
        with self._mutex:
            flight = self._flight = self._flight or own
        if flight is own:
            try:
                own.set_result(await work())
            except BaseException as error:  # noqa: BLE001 - it is raised below, and in all who wait
                own.set_exception(error)
            finally:
                self._flight = None
        return flight.result()


def _finish(work: Coroutine[Any, Any, T]) -> T:
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("the shell of threads has waited for an event loop")


class _Waiting:
    """The shell of coroutines."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._flight: asyncio.Task[str] | None = None

    async def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> httpx.Response:
        return await self._http.request("POST", url, data=form, headers=headers, auth=None, follow_redirects=False)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.to_thread(function, *arguments)

    async def share(self, work: Callable[[], Coroutine[Any, Any, str]]) -> str:
        """In a task of its own: who stops waiting for it does not stop it for the others, nor loses its answer."""
        if self._flight is None:
            self._flight = asyncio.create_task(work())
            self._flight.add_done_callback(self._land)
        return await asyncio.shield(self._flight)

    def _land(self, flight: asyncio.Task[str]) -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()  # has been looked at, though nobody may be waiting any more
