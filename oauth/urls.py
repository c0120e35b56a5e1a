from django.urls import path

from oauth import account_api, account_pages, api, authorize_views, views

urlpatterns = [
    path("oauth/authorize", authorize_views.authorize, name="oauth_authorize"),
    path("oauth/authorize/decision", authorize_views.decide, name="oauth_authorize_decision"),
    path("oauth/authorize/resume", authorize_views.resume, name="oauth_authorize_resume"),
    path("oauth/token", views.token),
    path("oauth/introspect", views.introspect),
    path("oauth/revoke", views.revoke),
    path("oauth/verify", views.verify),
    path(".well-known/jwks.json", views.jwks),
    path(".well-known/oauth-authorization-server", views.authorization_server_metadata),
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
