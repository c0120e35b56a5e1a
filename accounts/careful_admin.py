"""The base of the admin's pages: nothing is asked or written beyond what a page offers, and what staff change is recorded."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Permission
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.forms import ModelForm
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import audit
from accounts.actors import actor_of
from accounts.confirm_page import confirmation
from accounts.recent_sign_in import ask_again, is_recent
from accounts.templatetags.frame import translated

MOST_AT_ONCE = 500
Changes = dict[str, dict[str, Any]]


class ReasonForm(forms.Form):
    """What is asked before an act on many rows."""

    confirmed = forms.BooleanField(initial=True, widget=forms.HiddenInput)
    reason = forms.CharField(max_length=200, required=False, label=_("Reason"), help_text=_("Optional. It is kept in the audit log."))


class WhyForm(ReasonForm):
    """What is asked before an act that nobody does without a reason."""

    reason = forms.CharField(max_length=200, label=_("Reason"), help_text=_("It is kept in the audit log."))


class RowsField(forms.ModelMultipleChoiceField[Any]):
    """Rows by their keys. A key that no row can have is no choice, and no question to the database, which would fail."""

    def clean(self, value: Any) -> Any:
        assert self.queryset is not None  # noqa: S101 - for the type checker
        for key in value or ():
            try:
                self.queryset.model._meta.pk.clean(key, None)
            except ValidationError:
                raise ValidationError(self.error_messages["invalid_pk_value"], code="invalid_pk_value", params={"pk": key}) from None
        return super().clean(value)


class CarefulAdmin(admin.ModelAdmin[Any]):
    """A list that is asked for what its filters offer, and a form that writes what was changed; nothing else.

    A prefix search by URL would spell a digest out; a save of the whole row would undo what happened since the page was opened.
    """

    audited_as: ClassVar[str] = ""  # subject:object of the events of this page
    uuid_search_fields: ClassVar[Sequence[str]] = ()
    list_title: ClassVar[Any] = ""  # in place of the model's name
    empty_text: ClassVar[Any] = ""  # what it means that the list is empty
    view_on_site = False
    show_facets = admin.ShowFacets.NEVER  # they count the whole table, for each choice

    # --- What may be asked ---

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        offered = {getattr(each, "parameter_name", each) for each in self.get_list_filter(request)}
        name, *parts = lookup.split("__")
        is_offered = name in offered and (not parts or parts[-1] in {"exact", "isnull"})
        return is_offered and super().lookup_allowed(lookup, value, request)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """A whole UUID is looked up in the columns that may hold one, most of which are no text."""
        wanted = _as_uuid(search_term) if self.uuid_search_fields else None
        if wanted is None:
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(Q.create([(name, wanted) for name in self.uuid_search_fields], connector=Q.OR)), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        is_offered = {*request.POST.getlist("action")} <= {"", *self.get_actions(request)}
        if not is_offered or not self.has_view_or_change_permission(request):
            raise PermissionDenied
        try:
            for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.clean(chosen, None)
        except ValidationError:
            raise BadRequest("no id of a row") from None
        return super().changelist_view(request, extra_context)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without Django's deletion of many rows, which has no transaction: each row is deleted on its own page."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    # --- What is written, and recorded ---

    def changeform_view(self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None) -> Any:
        return self.asked_again(request) or super().changeform_view(request, object_id, form_url, extra_context)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        return self.asked_again(request) or super().delete_view(request, object_id, extra_context)

    def asked_again(self, request: HttpRequest) -> HttpResponse | None:
        """The way to prove who one is, for a form that was sent long after that; its page then comes as it was, and nothing is saved."""
        # SECURITY: or a browser that was left open makes somebody an owner.
        if request.method != "POST" or is_recent(request):
            return None
        self.message_user(request, gettext("Nothing was saved: your sign-in was too long ago. Now it can be."), "warning")
        return ask_again(request, back_to=request.get_full_path())

    def formfield_for_manytomany(self, db_field: Any, request: Any = None, **kwargs: Any) -> Any:
        """Checkboxes: a choice of many without the key that has to be held down."""
        ours: dict[str, Any] = {"form_class": RowsField, "widget": forms.CheckboxSelectMultiple()}
        if db_field.remote_field.model is Permission:
            ours["queryset"] = Permission.objects.select_related("content_type")  # each is called by its model's name
        return super().formfield_for_manytomany(db_field, request, **ours | kwargs)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Locked where a form is being saved, so that what is allowed, compared and recorded is what is written over."""
        found = super().get_object(request, object_id, from_field)
        is_saving = request.method == "POST" and transaction.get_connection().in_atomic_block
        return self.locked(found) if found is not None and is_saving else found

    def locked(self, row: Any) -> Any:
        return self.model._default_manager.select_for_update(no_key=True).filter(pk=row.pk).first()

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        if change:
            obj.save(update_fields=self.columns_to_write(set(form.changed_data)))
        else:
            obj.save()

    def columns_to_write(self, changed: set[str]) -> set[str]:
        return {field.name for field in self.opts.concrete_fields if field.name in changed or getattr(field, "auto_now", False)}

    def save_related(self, request: HttpRequest, form: ModelForm[Any], formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        changes = self._changes_of(form, is_new=not change)
        if changes or not change:
            self.record(request, form.instance, "changed" if change else "created", changes)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        before = model_to_dict(obj)
        changes = {name: {"before": _readable(before[name]), "after": None} for name in sorted(self._recorded_fields() & {*before})}
        self.record(request, obj, "deleted", changes)
        super().delete_model(request, obj)

    def record(self, request: HttpRequest, obj: Any, outcome: str, changes: Changes) -> None:
        """In the transaction of the form."""
        audit.record(f"{self.audited_as}:{outcome}", **self.audited(obj), detail={"changes": changes}, **actor_of(request))

    def audited(self, obj: Any) -> dict[str, Any]:
        """What an event says of the row it is about."""
        return {"target": str(obj)[:64]}

    def _changes_of(self, form: ModelForm[Any], *, is_new: bool) -> Changes:
        """What a valid form changes of its row: {field: {"before": …, "after": …}}."""
        names = self._recorded_fields() & {*form.changed_data}
        return {
            name: {"before": None if is_new else _readable(form.initial.get(name)), "after": _readable(form.cleaned_data[name])}
            for name in sorted(names)
        }

    def _recorded_fields(self) -> set[str]:
        return {field.name for field in (*self.opts.concrete_fields, *self.opts.many_to_many) if field.editable and not field.primary_key}

    # --- Acts on many rows ---

    def chosen(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """The rows that an action is for; none, and a message, when there are more than one act may have."""
        rows = [*queryset[: MOST_AT_ONCE + 1]]
        if len(rows) > MOST_AT_ONCE:
            text = gettext("Choose at most %(most)d at once. Nothing was done.")
            self.message_user(request, text % {"most": MOST_AT_ONCE}, "error")
            return []
        return rows

    def confirmation(
        self,
        request: HttpRequest,
        *,
        action: str,
        title: str,
        form: forms.Form,
        rows: Iterable[Model],
        lines: Sequence[str],
        notes: Sequence[str] = (),
        will_not: Sequence[str] = (),
        is_dangerous: bool = True,
    ) -> TemplateResponse:
        """The page between the list and the act: what will happen, to whom, and why."""
        return confirmation(
            request,
            site=self.admin_site,
            title=title,
            form=form,
            will=lines,
            will_not=will_not,
            notes=notes,
            is_dangerous=is_dangerous,
            hidden=[("action", action), *((ACTION_CHECKBOX_NAME, row.pk) for row in rows)],
            cancel_url=reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"),
            back_to=translated(self.opts.verbose_name_plural),
        )


class ReadOnlyAdmin(CarefulAdmin):
    """Rows that are looked at: they are made, changed and ended by the server's own operations."""

    def locked(self, row: Any) -> Any:
        """As it was read: no form writes it."""
        return row

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None


def _readable(value: Any) -> Any:
    """As JSON, with names for rows."""
    if not isinstance(value, (list, QuerySet)) or not all(isinstance(each, Model) for each in value):
        return value
    permissions = [each.pk for each in value if isinstance(each, Permission)]
    if permissions:
        pairs = Permission.objects.filter(pk__in=permissions).values_list("content_type__app_label", "codename")
        return sorted(f"{app_label}.{codename}" for app_label, codename in pairs)
    return sorted(str(each) for each in value)
