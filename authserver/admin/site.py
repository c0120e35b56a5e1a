"""The admin's site with its frame: the sidebar, the find box and the role on every page."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.urls.resolvers import URLPattern, URLResolver

from accounts.admin_site import StaffSite
from authserver.admin import explain, find, navigation, overview


class Site(StaffSite):
    enable_nav_sidebar = False  # Django's lists models; ours lists tasks

    def get_urls(self) -> list[URLPattern | URLResolver]:
        return [
            path("find/", self.admin_view(self.find), name="find"),
            path("explain/", self.admin_view(self.explain), name="explain"),
            *super().get_urls(),
        ]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().index(request, {**overview.context(request), **(extra_context or {})})

    def explain(self, request: HttpRequest) -> HttpResponse:
        return explain.view(request, site=self)

    def find(self, request: HttpRequest) -> HttpResponse:
        return find.view(request, site=self)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context: dict[str, Any] = super().each_context(request)
        if context["has_permission"]:
            context |= {"find_text": "", "navigation": navigation.groups(request), "role_name": navigation.role_of(request)}
        return context
