"""The endpoints."""

from typing import Annotated, Any

from authserver_verifier import AccessToken, Verifier
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from resource_server import connection
from resource_server.bearer import Refusal, TokenGate, requires
from resource_server.sessions import Session, Sessions

Reader = Annotated[AccessToken, Depends(requires("api:read"))]
Writer = Annotated[AccessToken, Depends(requires("api:write"))]
Anybody = Annotated[AccessToken, Depends(requires())]


def create_app(verifier: Verifier) -> FastAPI:
    app = FastAPI(title="Resource server", version="0.1.0")
    app.state.gate = TokenGate(verifier)
    sessions = Sessions()

    @app.exception_handler(Refusal)
    async def refuse(request: Request, refusal: Refusal) -> JSONResponse:
        return refusal.response()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/api/v1/sessions")
    async def list_sessions(token: Reader) -> list[Session]:
        return sessions.of(token.subject)

    @app.post("/api/v1/sessions", status_code=201)
    async def create_session(token: Writer) -> Session:
        return sessions.create(token.subject)

    @app.get("/api/v1/protected")
    async def protected(token: Anybody) -> dict[str, Any]:
        return {"message": f"Hello, user {token.subject}", "scopes": sorted(token.scopes)}

    app.add_api_websocket_route("/api/v1/ws/{session_id}", connection.serve)
    return app
