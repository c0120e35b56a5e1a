"""The WebSocket: a token at the handshake, a fresh one in-band before it expires, and the end when none comes.

Close codes: 4401 the token expired, or the new one is no good; 4403 the new one is another user's; 1009 a message too long.
"""

import asyncio
import json
from typing import Any

from authserver_verifier import AccessToken, InvalidToken, VerifierUnavailable
from fastapi import WebSocket, WebSocketDisconnect

from resource_server.bearer import Refusal, TokenGate, gate_of, invalid_token

SCOPE = "api:read"
MAX_CHARACTERS = 65536
CLOSE_SECONDS = 5  # for a client that reads nothing any more
UNAUTHENTICATED, FORBIDDEN, TOO_BIG, TRY_AGAIN_LATER = 4401, 4403, 1009, 1013


class Closed(Exception):
    """We end the connection, with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


async def serve(websocket: WebSocket, session_id: str) -> None:
    """From the handshake to the end."""
    gate = gate_of(websocket)
    try:
        token = await gate.admit(websocket, SCOPE)
        if gate.verifier.seconds_left(token) <= 0:  # within the leeway, which is for requests: this would end as it begins
            raise invalid_token()
    except Refusal as refusal:
        await websocket.send_denial_response(refusal.response())
        await asyncio.sleep(0)  # uvicorn notices on the next turn that it has answered; before, it would log an error
        return
    await websocket.accept()
    try:
        await _Conversation(websocket, session_id, gate, token).hold()
    except Closed as end:
        await _close(websocket, end)
    except WebSocketDisconnect:
        return  # the client went


async def _close(websocket: WebSocket, end: Closed) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await websocket.close(end.code, end.reason)
    except (TimeoutError, WebSocketDisconnect):
        return  # it does not hear us; the server takes its connection away


class _Conversation:
    """One connection that is open. One message at a time: who does not read the answers is not read from."""

    def __init__(self, websocket: WebSocket, session_id: str, gate: TokenGate, token: AccessToken) -> None:
        self._websocket, self._session_id, self._gate, self._token = websocket, session_id, gate, token

    async def hold(self) -> None:
        """Raises Closed, WebSocketDisconnect."""
        try:
            # The time limit holds for whatever we wait for, a message or a client that does not read; each new token moves it.
            async with asyncio.timeout(None) as limit:
                await self._announce(limit)
                while True:
                    await self._answer(_as_object(await self._receive()), limit)
        except TimeoutError:
            raise Closed(UNAUTHENTICATED, "token expired") from None

    async def _receive(self) -> str:
        event = await self._websocket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event["code"])
        text = event.get("text") or ""
        # uvicorn ends longer ones before they are in memory, at its --ws-max-size.
        if len(text) > MAX_CHARACTERS or len(event.get("bytes") or b"") > MAX_CHARACTERS:
            raise Closed(TOO_BIG, "message too long")
        return text

    async def _answer(self, message: dict[str, Any] | None, limit: asyncio.Timeout) -> None:
        if message is None:
            await self._send({"type": "error", "error": "invalid_message"})
        elif message.get("type") == "authenticate":
            await self._renew(message.get("access_token"))
            await self._announce(limit)
        else:
            user_id = self._token.subject
            await self._send({"type": "message", "session_id": self._session_id, "user_id": user_id, "message": message})

    async def _renew(self, value: object) -> None:
        """Take a new token of the same user and client in place of the old one. Raises Closed."""
        try:
            token = await self._gate.verify(value if isinstance(value, str) else "")
        except InvalidToken:
            raise Closed(UNAUTHENTICATED, "invalid token") from None
        except VerifierUnavailable:
            raise Closed(TRY_AGAIN_LATER, "tokens cannot be checked right now") from None
        # SECURITY: a connection stays with who opened it; what was sent on it before must not become somebody else's.
        if (token.subject, token.client_id) != (self._token.subject, self._token.client_id):
            raise Closed(FORBIDDEN, "token of another user or client")
        if SCOPE not in token.scopes:
            raise Closed(FORBIDDEN, "insufficient scope")
        if self._gate.verifier.seconds_left(token) <= 0:
            raise Closed(UNAUTHENTICATED, "token expired")
        self._token = token

    async def _announce(self, limit: asyncio.Timeout) -> None:
        seconds = self._gate.verifier.seconds_left(self._token)
        limit.reschedule(asyncio.get_running_loop().time() + seconds)
        await self._send({"type": "authenticated", "expires_in": int(seconds)})

    async def _send(self, message: dict[str, Any]) -> None:
        await self._websocket.send_text(json.dumps(message, separators=(",", ":")))


def _as_object(text: str) -> dict[str, Any] | None:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None
