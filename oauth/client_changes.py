"""Change a client for a member of staff, by the rules of the form of its page, on record with what it was before."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import transaction
from django.forms import ModelForm, modelform_factory

from accounts import audit
from accounts.actors import Actor
from oauth import clients
from oauth.client_form import ClientForm, LinesField
from oauth.models import Client

CHANGEABLE = (
    *("name", "skip_authorization", "redirect_uris", "post_logout_redirect_uris", "require_pkce", "resources"),
    *("allowed_origins", "grant_types", "allowed_scopes", "default_scopes", "may_introspect", "served_audiences"),
    *("audience", "access_token_lifetime", "refresh_token_lifetime", "refresh_overlap_seconds"),
)


def change(client: Client, *, fields: Mapping[str, Any], actor: Actor, reason: str) -> Client:
    """The client as it is now. `fields` are of CHANGEABLE; a column of many texts takes a list. Raises ValidationError."""
    with transaction.atomic():
        current: Client = Client.objects.select_for_update(no_key=True).get(pk=client.pk)
        form = _form(fields, current)
        if not form.is_valid():
            raise ValidationError(form.errors.as_data())
        if form.changed_data:
            form.instance.save(update_fields={*form.changed_data, "updated"})
            changes = {name: {"before": form.initial[name], "after": form.cleaned_data[name]} for name in sorted(form.changed_data)}
            detail = {"by": "staff", "reason": reason, "changes": changes}
            audit.record("client:registration:changed", client_id=current.client_id, detail=detail, **actor)
            transaction.on_commit(clients.cache.forget)
    return current


class _PartialForm(ClientForm):
    def add_error(self, field: str | None, error: Any) -> None:
        """What a change contradicts may be a field that was not sent: it is told of without one, by its name."""
        if isinstance(error, ValidationError) and hasattr(error, "error_dict"):
            absent = [name for name in error.error_dict if name not in {*self.fields, NON_FIELD_ERRORS}]
            for name in absent:
                for each in error.error_dict.pop(name):
                    super().add_error(None, f"{name}: {' '.join(each.messages)}")
        super().add_error(field, error)


def _form(fields: Mapping[str, Any], client: Client) -> ModelForm[Client]:
    """The form of the client's page, with these fields alone."""
    made = modelform_factory(Client, form=_PartialForm, fields=tuple(fields))
    data = {name: "\n".join(value) if _is_lines(made, name) else value for name, value in fields.items()}
    form = made(data, instance=client)
    for name in {*form.fields} - {*fields}:
        del form.fields[name]
    return form


def _is_lines(form: type[ModelForm[Client]], name: str) -> bool:
    return isinstance(form.base_fields[name], LinesField)
