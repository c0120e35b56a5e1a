"""One conditional GET of a key set, bounded in time and size."""

import asyncio
import ssl
from dataclasses import dataclass
from functools import cache

import httpx


class FetchFailed(Exception):
    """The text says what came instead of a key set."""


@dataclass(frozen=True)
class Answer:
    """`body` is None when nothing has changed (304); `lifetime` None when the server does not say."""

    body: bytes | None
    etag: str | None
    lifetime: int | None  # seconds


def fetch(url: str, *, etag: str | None, seconds: float, max_bytes: int) -> Answer:
    """Ask for what is newer than `etag`. No redirect is followed. Raises FetchFailed."""
    try:
        # asyncio, because there alone a time limit is one for everything: a server that sends a byte a second keeps every other.
        return asyncio.run(_fetch(url, etag=etag, seconds=seconds, max_bytes=max_bytes))
    except TimeoutError:
        raise FetchFailed(f"no complete answer within {seconds:g} s") from None
    except (httpx.HTTPError, OSError) as error:
        raise FetchFailed(f"{type(error).__name__}: {error}") from error


async def _fetch(url: str, *, etag: str | None, seconds: float, max_bytes: int) -> Answer:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"} | ({"If-None-Match": etag} if etag else {})
    async with (
        asyncio.timeout(seconds),
        httpx.AsyncClient(timeout=seconds, verify=_tls()) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        if response.status_code == 304 and etag:
            return Answer(None, response.headers.get("ETag", etag), lifetime(response.headers))
        if response.status_code != 200:
            raise FetchFailed(f"status {response.status_code}")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise FetchFailed("compressed, though that was not asked for")
        return Answer(await _body(response, max_bytes), response.headers.get("ETag"), lifetime(response.headers))


@cache
def _tls() -> ssl.SSLContext:
    """Reading all the authorities of the machine takes longer than a fetch."""
    return httpx.create_ssl_context()


async def _body(response: httpx.Response, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_bytes:
            raise FetchFailed(f"more than {max_bytes} bytes")
    return bytes(body)


def lifetime(headers: httpx.Headers) -> int | None:
    """The seconds that Cache-Control still leaves, less those that the answer spent in caches on its way (RFC 9111 §4.2)."""
    parts = (part.strip().partition("=") for part in headers.get("Cache-Control", "").lower().split(","))
    directives = {name: value.strip('"') for name, _, value in parts}
    if directives.keys() & {"no-store", "no-cache"}:
        return 0
    max_age = _seconds(directives.get("max-age", ""))
    return None if max_age is None else max(0, max_age - (_seconds(headers.get("Age", "")) or 0))


def _seconds(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 11 else None
