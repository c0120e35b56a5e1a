"""Staff's view of people and of what happened. Nothing secret is shown, edited or searched."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.forms import ModelForm
from django.http import HttpRequest

from accounts.models import AuditEvent, Role, User


class UserForm(UserChangeForm[User]):
    class Meta:
        model = User
        fields = "__all__"
        field_classes: dict[str, Any] = {}  # UserChangeForm's own field would fold what was typed


class NewUserForm(AdminUserCreationForm[User]):
    class Meta:
        model = User
        fields = ("username", "email")
        field_classes: dict[str, Any] = {}


@admin.register(User)
class UserAdmin(DjangoUserAdmin[User]):
    form = UserForm
    add_form = NewUserForm
    list_display = ("username", "email", "name", "is_active", "is_staff", "last_sign_in_at")
    list_filter = ("is_active", "is_staff", "roles")
    search_fields = ("username_canonical", "email_canonical", "name")
    ordering = ("username",)
    filter_horizontal = ("groups", "user_permissions", "roles")
    readonly_fields = ("id", "last_sign_in_at", "created_at")
    fieldsets = (
        (None, {"fields": ("id", "username", "email", "name", "password")}),
        ("State", {"fields": ("is_active", "last_sign_in_at", "created_at")}),
        ("Applications", {"fields": ("roles",)}),
        ("Staff", {"fields": ("is_staff", "is_superuser", "groups", "user_permissions")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("username", "email", "usable_password", "password1", "password2")}),)

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:
        """Write only what was changed: what happened to the user since the page was opened stays (a raised epoch above all)."""
        if not change:
            obj.save()
            return
        columns = {field.name for field in User._meta.concrete_fields} & set(form.changed_data)
        obj.save(update_fields=columns | {f"{name}_canonical" for name in ("username", "email") if name in columns})


@admin.register(Role)
class RoleAdmin(admin.ModelAdmin[Role]):
    list_display = ("name", "description")
    search_fields = ("name",)


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Rows that are looked at: they are made, changed and ended by the server's own operations."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "event", "actor_id", "target", "client_id", "address", "error_id")
    list_filter = ("event",)
    date_hierarchy = None
    show_full_result_count = False
    search_fields = ("target", "client_id", "address", "error_id")
