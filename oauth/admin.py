"""Staff's view of clients, sessions and signing keys. No secret, digest or private key is in any field of a page."""

from django.contrib import admin
from django.http import HttpRequest
from oauth2_provider import admin as toolkit_admin
from oauth2_provider.models import get_access_token_model, get_grant_model, get_id_token_model, get_refresh_token_model

from accounts.admin import CarefulAdmin, ReadOnlyAdmin
from oauth.models import Client, Session, SigningKey

# The toolkit's page for clients shows and edits the secret; its token rows are never written, and their pages would promise otherwise.
for _model in (
    toolkit_admin.application_model,
    get_access_token_model(),
    get_grant_model(),
    get_id_token_model(),
    get_refresh_token_model(),
):
    admin.site.unregister(_model)


@admin.register(Client)
class ClientAdmin(CarefulAdmin):
    view_on_site = False
    list_display = ("name", "client_id", "client_type", "is_active", "created")
    list_filter = ("client_type", "is_active")
    search_fields = ("name", "client_id")
    readonly_fields = ("client_id", "client_type", "secret_created_at", "previous_secret_expires_at", "created", "updated")
    fieldsets = (
        (None, {"fields": ("name", "client_id", "client_type", "is_active")}),
        ("May", {"fields": ("grant_types", "allowed_scopes", "default_scopes", "may_introspect")}),
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


@admin.register(Session)
class SessionAdmin(ReadOnlyAdmin):
    list_display = ("id", "user", "client", "address", "refreshed_at", "generation", "revoked_at")
    list_select_related = ("user", "client")
    list_filter = ("client",)
    search_fields = ("user__username_canonical", "user__email_canonical")
    fields = (
        "id", "user", "client", "scope", "amr", "address", "user_agent",
        "created_at", "refreshed_at", "generation", "expires_at", "ends_at", "revoked_at", "revoked_reason",
    )  # fmt: skip


@admin.register(SigningKey)
class SigningKeyAdmin(ReadOnlyAdmin):
    list_display = ("kid", "algorithm", "published_at", "signs_from", "signs_until", "removed_at", "revoked_at")
    fields = (
        "kid",
        "sequence",
        "algorithm",
        "public_jwk",
        "created_at",
        "published_at",
        "signs_from",
        "signs_until",
        "removed_at",
        "revoked_at",
        "revoked_reason",
    )
