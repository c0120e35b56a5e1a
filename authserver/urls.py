"""Every URL of the server; none ends in a slash but the admin's."""

from django.contrib import admin
from django.urls import include, path
from django.views.i18n import set_language

from authserver import api_docs, pages

urlpatterns = [
    path("", include("oauth.urls")),  # first: they are searched in this order
    path("", pages.landing),
    path("live", pages.live),
    path("ready", pages.ready),
    path("health", pages.ready),
    path("api/v1/health", pages.ready),
    path("api/openapi.json", api_docs.document),
    path("api/docs", api_docs.page),
    path("metrics", pages.metrics),
    path("language", set_language, name="set_language"),
    path("admin/", admin.site.urls),
    path("", include("accounts.urls")),
]

handler400 = pages.bad_request
handler403 = pages.forbidden
handler404 = pages.not_found
handler500 = pages.server_error
