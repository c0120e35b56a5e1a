"""Staff's pages of clients. No secret and no digest is in any field."""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import components
from accounts.careful_admin import CarefulAdmin, Changes
from oauth import client_list, client_page, clients
from oauth.client_acts import ClientActs
from oauth.client_bulk_acts import ClientBulkActs
from oauth.client_form import ClientForm
from oauth.client_list import ClientList, GrantFilter, SecretAgeFilter, UnusedFilter
from oauth.models import Client


@admin.register(Client)
class ClientAdmin(ClientActs, ClientBulkActs, CarefulAdmin):
    audited_as = "client:registration"
    form = ClientForm
    actions = ClientBulkActs.actions
    change_list_template = "admin/clients.html"
    change_form_template = "admin/client.html"
    list_display = ("name", "client_id", "client_type", "state", "grants", "secret_age", "newest_session", "live_sessions")
    list_filter = ("client_type", "is_active", GrantFilter, SecretAgeFilter, UnusedFilter)
    list_per_page = 50
    search_fields = ("name", "client_id")
    empty_text = _("No client is registered yet: nobody can ask for tokens.")
    readonly_fields = ("client_id", "client_type", "secret_created_at", "previous_secret_expires_at", "created", "updated")
    fieldsets = (
        (None, {"fields": ("name", "client_type", "skip_authorization")}),
        ("Sign-in by browser", {"fields": ("redirect_uris", "post_logout_redirect_uris", "allowed_origins", "require_pkce")}),
        ("What it may do", {"fields": ("grant_types", "allowed_scopes", "default_scopes", "may_introspect", "served_audiences")}),
        ("Tokens", {"fields": ("audience", "resources", "access_token_lifetime", "refresh_token_lifetime", "refresh_overlap_seconds")}),
        ("Secret", {"fields": ("secret_created_at", "previous_secret_expires_at")}),
        ("History", {"fields": ("created", "updated")}),
    )

    def get_list_display(self, request: HttpRequest) -> Any:
        return [client_list.secret_column(request) if name == "secret_age" else name for name in self.list_display]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ClientList]:
        return ClientList

    @admin.display(ordering="is_active")
    def state(self, client: Client) -> SafeString:
        return client_page.pill_of(client)

    @admin.display(description="grant types")
    def grants(self, client: Client) -> str:
        return ", ".join(grant_type.rpartition(":")[2] for grant_type in client.grant_types)

    @admin.display(ordering="secret_created_at", description="secret age")
    def secret_age(self, client: Client) -> str:
        return client_list.secret_age(client)

    @admin.display(description="newest session")
    def newest_session(self, client: Any) -> SafeString:
        return components.when(client.newest_session_at, nothing=gettext("none"))

    @admin.display(description="live sessions")
    def live_sessions(self, client: Any) -> str:
        return f"{client.live_sessions or 0}{'+' if client.has_more_sessions else ''}"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().change_view(request, object_id, form_url, client_page.context(request, object_id) | (extra_context or {}))

    def has_delete_permission(self, request: HttpRequest, obj: Client | None = None) -> bool:
        """Disable it instead: what it did stays known by its name, and the name is given to no other."""
        return False

    def audited(self, obj: Client) -> dict[str, Any]:
        return {"client_id": obj.client_id}

    def record(self, request: HttpRequest, obj: Client, outcome: str, changes: Changes) -> None:
        super().record(request, obj, outcome, changes)
        transaction.on_commit(clients.cache.forget)
