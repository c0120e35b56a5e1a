from django.urls import path

from oauth import api, views

urlpatterns = [
    path("oauth/token", views.token),
    path(".well-known/jwks.json", views.jwks),
    path(".well-known/oauth-authorization-server", views.authorization_server_metadata),
    path("api/v1/sessions", api.SessionList.as_view()),
]
