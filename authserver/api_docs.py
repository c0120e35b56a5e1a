"""The description of the API: the OpenAPI document for programs, and a page to read and try it for people."""

from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render as render_template

from authserver import openapi
from oauth import public_documents
from oauth.http import only, renders_oauth_errors

MAX_AGE = timedelta(minutes=5)


@renders_oauth_errors
@only("GET", "HEAD")
def document(request: HttpRequest) -> HttpResponse:
    """GET /api/openapi.json."""
    return public_documents.serve(request, *openapi.body(), max_age=MAX_AGE)


@renders_oauth_errors
@only("GET", "HEAD")
def page(request: HttpRequest) -> HttpResponse:
    """GET /api/docs."""
    return render_template(request, "api_docs.html")
