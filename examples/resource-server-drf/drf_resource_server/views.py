"""The endpoints."""

from dataclasses import asdict

from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from drf_resource_server.authentication import caller_of, token_of
from drf_resource_server.permissions import HasScope
from drf_resource_server.sessions import Sessions

sessions = Sessions()


class Health(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        return Response({"status": "ok"})


class SessionList(APIView):
    required_scopes = {"GET": ["api:read"], "POST": ["api:write"]}

    def get(self, request: Request) -> Response:
        return Response([asdict(session) for session in sessions.of(caller_of(request).id)])

    def post(self, request: Request) -> Response:
        return Response(asdict(sessions.create(caller_of(request).id)), status=201)


class Protected(APIView):
    permission_classes = (HasScope(),)

    def get(self, request: Request) -> Response:
        return Response({"message": f"Hello, user {caller_of(request).id}", "scopes": sorted(token_of(request).scopes)})
