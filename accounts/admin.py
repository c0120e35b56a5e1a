"""Staff's view of people and of what happened. Nothing secret is shown, edited or searched."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm, AdminUserCreationForm
from django.contrib.auth.models import Group
from django.db import transaction
from django.forms import ModelForm, ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext

from accounts import audit, outbox, passwords, users
from accounts.actors import actor_of
from accounts.audit_admin import AuditEventAdmin, RefusalAdmin
from accounts.careful_admin import CarefulAdmin, Changes
from accounts.lockout_admin import LockoutAdmin
from accounts.models import AuditEvent, LoginCounter, Refusal, Role, User

LAST_SUPERUSER = "This is the last active superuser. Make another one first: else nobody could do what only superusers may."
STAFF_FIELDS = ("is_staff", "is_superuser", "groups", "user_permissions")

admin.site.unregister(Group)
# SECURITY: allauth's own pages show and change the seeds of second factors. What staff may do to them is an act of its own.
admin.site.unregister((EmailAddress, Authenticator))


class PasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg] # generic in the stubs alone
    """Staff give a user another password, or take it away."""

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if not self.cleaned_data.get("set_usable_password", True) and users.is_last_superuser(self.user):
            self.add_error("usable_password", LAST_SUPERUSER)
        return cleaned

    def set_password_and_save(self, user: User, *args: Any, **kwargs: Any) -> User:
        super().set_password_and_save(user, *args, **kwargs | {"commit": False})  # type: ignore[misc] # the stubs lack it
        passwords.store(user)
        return user


class UserForm(ModelForm[User]):
    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        flags = {flag: self.cleaned_data[flag] for flag in ("is_active", "is_staff", "is_superuser") if flag in self.cleaned_data}
        if not all(flags.values()) and users.is_last_superuser(self.instance):
            raise ValidationError(LAST_SUPERUSER)
        return cleaned


class NewUserForm(AdminUserCreationForm[User]):
    class Meta:
        model = User
        fields = ("username", "email")
        field_classes: dict[str, Any] = {}


class UserAdmin(CarefulAdmin, DjangoUserAdmin[User]):
    """People. Registered where their sessions are known (oauth.admin)."""

    audited_as = "user:account"
    form = UserForm
    add_form = NewUserForm
    change_password_form = PasswordForm
    search_fields = ("username_canonical", "email_canonical", "name")
    uuid_search_fields = ("id",)
    ordering = ("username",)
    filter_horizontal = ()  # it needs a mouse and is told to no screen reader; checkboxes instead (accounts.careful_admin)
    readonly_fields = ("id", "password_state", "password_page", "awaits_confirmation", "last_sign_in_at", "created_at")
    fieldsets = (
        (None, {"fields": ("id", "username", "email", "name", "password_page")}),
        ("State", {"fields": ("is_active", "awaits_confirmation", "last_sign_in_at", "created_at")}),
        ("Applications", {"fields": ("roles",)}),
        ("Staff", {"fields": STAFF_FIELDS[:-1]}),
        # Rights come with a group; these are for the exception, and there are many.
        ("Single permissions", {"classes": ("collapse",), "fields": STAFF_FIELDS[-1:]}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("username", "email", "usable_password", "password1", "password2")}),)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and self.has_change_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        # SECURITY: also the page that sets a password asks this.
        return super().has_change_permission(request, obj) and (obj is None or users.may_touch(_staff(request), obj))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Disable them instead: what they did stays known by who they were, and their name is given to no other."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        # SECURITY: whoever may change users may make nobody staff, themselves least of all.
        staff_fields = () if _staff(request).is_superuser else STAFF_FIELDS
        roles = () if request.user.has_perm("accounts.change_role") else ("roles",)
        # SECURITY: to change a user's name is one permission, to shut them out or let them in again another.
        state = () if request.user.has_perm("accounts.disable_user") else ("is_active",)
        return (*super().get_readonly_fields(request, obj), *staff_fields, *roles, *state)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is not None and not (_staff(request).is_superuser or obj.is_staff or obj.is_superuser):
            # Nothing to see of who is no staff, and nothing to change for who is no owner.
            fieldsets = [each for each in fieldsets if not {*each[1]["fields"]} & {*STAFF_FIELDS}]
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        (title, first), *others = fieldsets
        return [(title, {**first, "fields": [*first["fields"][:-1], "password_state"]}), *others]

    def locked(self, row: User) -> User:
        return users.locked(row)

    @admin.display(description="password")
    def password_state(self, user: User) -> str:
        """Whether there is one; Django's own field would show pieces of salt and hash."""
        return gettext("set") if user.has_usable_password() else gettext("none: the user cannot sign in with a password")

    @admin.display(description="password")
    def password_page(self, user: User) -> str:
        return format_html('{} · <a href="../password/">{}</a>', self.password_state(user), gettext("change"))

    def columns_to_write(self, changed: set[str]) -> set[str]:
        canonical = {f"{name}_canonical" for name in ("username", "email") if name in changed}
        return super().columns_to_write(changed) | canonical

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "is_active" in form.changed_data and not obj.is_active:
            # SECURITY: or a thief is back in when the account is enabled again.
            users.end_sessions(obj)
        elif "email" in form.changed_data:
            # SECURITY: or a code that a thief has sent for takes the address back.
            outbox.withdraw(obj)

    def audited(self, obj: User) -> dict[str, Any]:
        return {"target": obj.pk}

    def record(self, request: HttpRequest, obj: User, outcome: str, changes: Changes) -> None:
        if "is_active" in changes:
            outcome = "enabled" if obj.is_active else "disabled"
        super().record(request, obj, outcome, changes)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Django's page, in one transaction with the record of what it did."""
        again = self.asked_again(request)
        if again is not None:
            return again
        with transaction.atomic():
            response: HttpResponse = super().user_change_password(request, id, form_url)
        return response

    def log_change(self, request: HttpRequest, obj: User, message: Any) -> Any:
        """Called by every form that was saved; that of the password has no other place to be noticed."""
        if request.resolver_match and request.resolver_match.url_name == "auth_user_password_change":
            detail = {"by": "staff", "password": "set" if obj.has_usable_password() else "taken away"}
            audit.record("user:password:changed", target=obj.pk, detail=detail, **actor_of(request))
        return super().log_change(request, obj, message)


@admin.register(Role)
class RoleAdmin(CarefulAdmin):
    audited_as = "role:registration"
    list_display = ("name", "description")
    search_fields = ("name",)


@admin.register(Group)
class GroupAdmin(CarefulAdmin, DjangoGroupAdmin):
    """What a group may do, its members may: superusers alone see and change groups."""

    filter_horizontal = ()
    audited_as = "group:registration"

    def has_module_permission(self, request: HttpRequest) -> bool:
        # SECURITY: or whoever may change groups gives theirs what they lack.
        return request.user.is_active and request.user.is_superuser

    def has_view_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return self.has_module_permission(request)

    has_change_permission = has_delete_permission = has_view_permission

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request)


admin.site.register(LoginCounter, LockoutAdmin)
admin.site.register(AuditEvent, AuditEventAdmin)
admin.site.register(Refusal, RefusalAdmin)


def _staff(request: HttpRequest) -> User:
    """Who is signed in to the admin: nobody else comes to a page."""
    assert isinstance(request.user, User)  # noqa: S101 - for the type checker
    return request.user
