"""Staff's view of people and of what happened. Nothing secret is shown, edited or searched."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm, AdminUserCreationForm
from django.db.models import F
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.html import format_html

from accounts import passwords
from accounts.models import AuditEvent, Role, User


class CarefulAdmin(admin.ModelAdmin[Any]):
    """A list that is asked for what its filters offer, and a form that writes what was changed; nothing else.

    A prefix search by URL would spell a digest out; a save of the whole row would undo what happened since the page was opened.
    """

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup.partition("__")[0] in self.get_list_filter(request) and super().lookup_allowed(lookup, value, request)

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        if change:
            obj.save(update_fields=self.columns_to_write(set(form.changed_data)))
        else:
            obj.save()

    def columns_to_write(self, changed: set[str]) -> set[str]:
        return {field.name for field in self.opts.concrete_fields if field.name in changed or getattr(field, "auto_now", False)}


class PasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg] # generic in the stubs alone
    """Staff give a user another password, or take it away."""

    def set_password_and_save(self, user: User, *args: Any, **kwargs: Any) -> User:
        super().set_password_and_save(user, *args, **kwargs | {"commit": False})  # type: ignore[misc] # the stubs lack it
        passwords.store(user)
        return user


class NewUserForm(AdminUserCreationForm[User]):
    class Meta:
        model = User
        fields = ("username", "email")
        field_classes: dict[str, Any] = {}


@admin.register(User)
class UserAdmin(CarefulAdmin, DjangoUserAdmin[User]):
    form = ModelForm
    add_form = NewUserForm
    change_password_form = PasswordForm
    list_display = ("username", "email", "name", "is_active", "is_staff", "last_sign_in_at")
    list_filter = ("is_active", "is_staff", "roles")
    search_fields = ("username_canonical", "email_canonical", "name")
    ordering = ("username",)
    filter_horizontal = ("groups", "user_permissions", "roles")
    readonly_fields = ("id", "password_state", "last_sign_in_at", "created_at")
    fieldsets = (
        (None, {"fields": ("id", "username", "email", "name", "password_state")}),
        ("State", {"fields": ("is_active", "last_sign_in_at", "created_at")}),
        ("Applications", {"fields": ("roles",)}),
        ("Staff", {"fields": ("is_staff", "is_superuser", "groups", "user_permissions")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("username", "email", "usable_password", "password1", "password2")}),)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Disable them instead: what they did stays known by who they were, and their name is given to no other."""
        return False

    @admin.display(description="password")
    def password_state(self, user: User) -> str:
        """Whether there is one; Django's own field would show pieces of salt and hash."""
        state = "set" if user.has_usable_password() else "none: the user cannot sign in with a password"
        return format_html('{} · <a href="../password/">change</a>', state)

    def columns_to_write(self, changed: set[str]) -> set[str]:
        canonical = {f"{name}_canonical" for name in ("username", "email") if name in changed}
        return super().columns_to_write(changed) | canonical

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "is_active" in form.changed_data and not obj.is_active:
            # SECURITY: or a thief is back in when the account is enabled again.
            User.objects.filter(pk=obj.pk).update(session_epoch=F("session_epoch") + 1)


@admin.register(Role)
class RoleAdmin(CarefulAdmin):
    list_display = ("name", "description")
    search_fields = ("name",)


class ReadOnlyAdmin(CarefulAdmin):
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
