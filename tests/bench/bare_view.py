"""A Django application of one JSON view, without middleware, apps or a database."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path


def ok(request: HttpRequest) -> JsonResponse:
    response = JsonResponse({"status": "ok"})
    response["Content-Length"] = str(len(response.content))  # or gunicorn sends it in chunks
    return response


urlpatterns = [path("live", ok), path("ready", ok), path("bare", ok)]
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="of no use here", MIDDLEWARE=[])
application = get_wsgi_application()
