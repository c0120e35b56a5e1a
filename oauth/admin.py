"""Which pages of the admin there are for users, clients, sessions and signing keys, and which of the toolkit's there are not."""

from django.contrib import admin
from oauth2_provider import admin as toolkit_admin
from oauth2_provider.models import get_access_token_model, get_grant_model, get_id_token_model, get_refresh_token_model

# The toolkit's page for clients shows and edits the secret; its token rows are never written, and their pages would promise otherwise.
for _model in (
    toolkit_admin.application_model,
    get_access_token_model(),
    get_grant_model(),
    get_id_token_model(),
    get_refresh_token_model(),
):
    admin.site.unregister(_model)

# Each registers its own.
from oauth import client_admin, key_admin, session_admin, user_admin  # noqa: E402, F401 - after the toolkit's are gone
