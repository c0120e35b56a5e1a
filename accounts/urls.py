from django.urls import path

from accounts import api

urlpatterns = [path("api/v1/me", api.Profile.as_view())]
