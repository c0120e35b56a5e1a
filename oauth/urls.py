from django.urls import include, path

from oauth import account_api, account_pages, api, authorize_views, device_views, logout_views, views

urlpatterns = [
    # Asked for most, and found first.
    path("oauth/token", views.token),
    path(".well-known/jwks.json", views.jwks),
    path("oauth/introspect", views.introspect),
    path("oauth/authorize", authorize_views.authorize, name="oauth_authorize"),
    path("oauth/authorize/decision", authorize_views.decide, name="oauth_authorize_decision"),
    path("oauth/authorize/resume", authorize_views.resume, name="oauth_authorize_resume"),
    path("oauth/device_authorization", views.device_authorization),
    path("oauth/device", device_views.device, name="device"),
    path("oauth/device/qr", device_views.picture),
    path("oauth/register", views.register),
    path("oauth/revoke", views.revoke),
    path("oauth/logout", logout_views.logout, name="oauth_logout"),
    path("oauth/logout/confirmed", logout_views.confirm, name="oauth_logout_confirmed"),
    path("oauth/userinfo", views.userinfo),
    path("oauth/verify", views.verify),
    path(".well-known/oauth-authorization-server", views.server_metadata),
    path(".well-known/openid-configuration", views.server_metadata),
    path(".well-known/oauth-protected-resource", views.protected_resource_metadata),
    path("api/v1/admin/", include("oauth.admin_api.urls")),
    path("api/v1/me/password", account_api.Password.as_view()),
    path("api/v1/me/email", account_api.Email.as_view()),
    path("api/v1/sessions", api.SessionList.as_view()),
    path("api/v1/sessions/<str:id>", api.SessionDetail.as_view()),
    path("account/sessions", account_pages.session_list, name="account_sessions"),
    path("account/sessions/end-others", account_pages.end_others, name="account_sessions_end_others"),
    path("account/sessions/<str:id>/end", account_pages.end_session, name="account_session_end"),
    path("account/apps", account_pages.app_list, name="account_apps"),
    path("account/apps/<str:id>/disconnect", account_pages.disconnect, name="account_app_disconnect"),
]
