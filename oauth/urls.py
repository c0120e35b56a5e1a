from django.urls import include, path

from oauth import account_api, api, authorize_views, device_views, views

urlpatterns = [
    path("oauth/authorize", authorize_views.authorize, name="oauth_authorize"),
    path("oauth/authorize/decision", authorize_views.decide, name="oauth_authorize_decision"),
    path("oauth/authorize/resume", authorize_views.resume, name="oauth_authorize_resume"),
    path("oauth/token", views.token),
    path("oauth/device_authorization", views.device_authorization),
    path("oauth/device", device_views.device, name="device"),
    path("oauth/device/qr", device_views.picture),
    path("oauth/introspect", views.introspect),
    path("oauth/revoke", views.revoke),
    path("oauth/verify", views.verify),
    path(".well-known/jwks.json", views.jwks),
    path(".well-known/oauth-authorization-server", views.authorization_server_metadata),
    path("api/v1/admin/", include("oauth.admin_api.urls")),
    path("api/v1/me/password", account_api.Password.as_view()),
    path("api/v1/me/email", account_api.Email.as_view()),
    path("api/v1/sessions", api.SessionList.as_view()),
    path("api/v1/sessions/<str:id>", api.SessionDetail.as_view()),
]
