from django.urls import path, register_converter
from django.urls.converters import StringConverter

from oauth.admin_api import audit, client_acts, clients, keys, lockouts, roles, user_acts, users


class Whatever(StringConverter):
    """Slashes and line breaks too. Django's `path` has no line breaks: such a name is no role, and its removal a 204 as of any other."""

    regex = "(?s:.+)"


register_converter(Whatever, "whatever")

# A client_id, a kid and the name of a role may have slashes: what follows them is matched first.
urlpatterns = [
    path("users", users.UserList.as_view()),
    path("users/<str:id>", users.UserDetail.as_view()),
    path("users/<str:id>/roles", users.UserRoles.as_view()),
    path("users/<str:id>/lock", user_acts.LockUser.as_view()),
    path("users/<str:id>/unlock", user_acts.UnlockUser.as_view()),
    path("users/<str:id>/password-reset", user_acts.SendPasswordReset.as_view()),
    path("users/<str:id>/sessions", user_acts.UserSessions.as_view()),
    path("users/<str:id>/sessions/<str:session_id>", user_acts.UserSession.as_view()),
    path("clients", clients.ClientList.as_view()),
    path("clients/<whatever:client_id>/disable", client_acts.DisableClient.as_view()),
    path("clients/<whatever:client_id>/enable", client_acts.EnableClient.as_view()),
    path("clients/<whatever:client_id>/rotate-secret", client_acts.RotateSecret.as_view()),
    path("clients/<whatever:client_id>/end-sessions", client_acts.EndClientSessions.as_view()),
    path("clients/<whatever:client_id>", clients.ClientDetail.as_view()),
    path("lockouts", lockouts.LockoutList.as_view()),
    path("lockouts/<str:id>/unlock", lockouts.LiftLockout.as_view()),
    path("signing-keys", keys.KeyList.as_view()),
    path("signing-keys/rotate", keys.RotateKey.as_view()),
    path("signing-keys/<whatever:kid>/revoke", keys.RevokeKey.as_view()),
    path("audit", audit.EventList.as_view()),
    path("roles", roles.RoleList.as_view()),
    path("roles/<whatever:name>", roles.RoleDetail.as_view()),
]
