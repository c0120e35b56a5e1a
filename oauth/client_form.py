"""The forms of a client: what staff change of one, and what is asked to register one. No secret is in any."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from oauth import scopes
from oauth.models import CLIENT_CREDENTIALS, GRANT_TYPE_CHOICES, Client

_GRANTS = [(grant_type, grant_type.rpartition(":")[2]) for grant_type in GRANT_TYPE_CHOICES]


class LinesField(forms.CharField):
    """Texts parted by spaces in their column, one per line in the form."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value.split()) if isinstance(value, str) else value

    def to_python(self, value: Any) -> str:
        return " ".join(str(super().to_python(value)).split())


class ClientForm(forms.ModelForm[Client]):
    grant_types = forms.MultipleChoiceField(
        choices=_GRANTS, widget=forms.CheckboxSelectMultiple, required=False, help_text="What it may ask for tokens with."
    )
    redirect_uris = LinesField(required=False, label="redirect URIs", help_text="Where authorization codes are sent, one per line.")
    post_logout_redirect_uris = LinesField(
        required=False, label="post-logout redirect URIs", help_text="Where users may be sent after they have signed out, one per line."
    )
    resources = LinesField(
        required=False,
        label="resources",
        help_text="What it may name as resource to get tokens for, beside its audience (RFC 8707): absolute URIs, one per line.",
    )
    allowed_origins = LinesField(
        required=False,
        label="allowed origins",
        help_text="Whose pages may call the API from a browser, one per line: https://app.example.com",
    )


class RegistrationForm(forms.Form):
    client_id = forms.CharField(
        max_length=255,
        label=gettext_lazy("client_id"),
        help_text=gettext_lazy("Its name on the wire, such as billing-service. It cannot be changed later."),
    )
    name = forms.CharField(max_length=255, required=False, label=gettext_lazy("Name"), help_text=gettext_lazy("Its name for people."))
    client_type = forms.ChoiceField(
        label=gettext_lazy("Type"),
        widget=forms.RadioSelect,
        choices=(
            (Client.CLIENT_CONFIDENTIAL, gettext_lazy("Confidential: a service that keeps a secret")),
            (Client.CLIENT_PUBLIC, gettext_lazy("Public: an app in its users' hands, which can keep none")),
        ),
    )
    grant_types = forms.MultipleChoiceField(
        choices=_GRANTS, label=gettext_lazy("Grant types"), widget=forms.CheckboxSelectMultiple, initial=[CLIENT_CREDENTIALS]
    )
    allowed_scopes = forms.CharField(label=gettext_lazy("Allowed scopes"), help_text=gettext_lazy("What it may ask for, parted by spaces."))
    default_scopes = forms.CharField(
        required=False,
        label=gettext_lazy("Default scopes"),
        help_text=gettext_lazy("What it gets when it asks for nothing. Empty: all of them, except what is given only when asked for."),
    )

    def as_registration(self) -> dict[str, Any]:
        """The arguments of `clients.register` beside the client_id."""
        sent = self.cleaned_data
        return {
            "name": sent["name"] or sent["client_id"],
            "is_public": sent["client_type"] == Client.CLIENT_PUBLIC,
            "grant_types": sent["grant_types"],
            "allowed_scopes": sent["allowed_scopes"],
            "default_scopes": sent["default_scopes"] or all_but_special(sent["allowed_scopes"]),
        }


def all_but_special(allowed: str) -> str:
    """Nothing of what is malformed: that is told of `allowed` itself."""
    try:
        return scopes.format(scopes.parse(allowed) - scopes.NEVER_DEFAULT)
    except scopes.Malformed:
        return ""
