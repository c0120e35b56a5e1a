from django.urls import path

from drf_resource_server.views import Health, Protected, SessionList

urlpatterns = [
    path("health", Health.as_view()),
    path("api/v1/sessions", SessionList.as_view()),
    path("api/v1/protected", Protected.as_view()),
]
