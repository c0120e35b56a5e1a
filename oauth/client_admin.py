"""Staff's pages of clients. No secret and no digest is in any field."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest

from accounts.careful_admin import CarefulAdmin, Changes
from oauth import clients
from oauth.models import GRANT_TYPE_CHOICES, Client


class ClientForm(forms.ModelForm[Client]):
    grant_types = forms.MultipleChoiceField(
        choices=[(grant_type, grant_type) for grant_type in GRANT_TYPE_CHOICES],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text="What it may ask for tokens with.",
    )


@admin.register(Client)
class ClientAdmin(CarefulAdmin):
    audited_as = "client:registration"
    form = ClientForm
    list_display = ("name", "client_id", "client_type", "is_active", "created")
    list_filter = ("client_type", "is_active")
    search_fields = ("name", "client_id")
    readonly_fields = ("client_id", "client_type", "secret_created_at", "previous_secret_expires_at", "created", "updated")
    fieldsets = (
        (None, {"fields": ("name", "client_id", "client_type", "is_active")}),
        ("What it may do", {"fields": ("grant_types", "allowed_scopes", "default_scopes", "may_introspect", "served_audiences")}),
        ("Tokens", {"fields": ("audience", "access_token_lifetime", "refresh_token_lifetime", "refresh_overlap_seconds")}),
        ("Secret", {"fields": ("secret_created_at", "previous_secret_expires_at")}),
        ("History", {"fields": ("created", "updated")}),
    )

    def has_delete_permission(self, request: HttpRequest, obj: Client | None = None) -> bool:
        """Disable it instead: what it did stays known by its name, and the name is given to no other."""
        return False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """manage.py create_client makes one: its secret is shown once, which this form cannot do."""
        return False

    def audited(self, obj: Client) -> dict[str, Any]:
        return {"client_id": obj.client_id}

    def record(self, request: HttpRequest, obj: Client, outcome: str, changes: Changes) -> None:
        if "is_active" in changes:
            outcome = "enabled" if obj.is_active else "disabled"
        super().record(request, obj, outcome, changes)
        transaction.on_commit(clients.cache.forget)
