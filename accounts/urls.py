from django.urls import path

from accounts import api, recovery_api, reset_views, views

urlpatterns = [
    path("api/v1/me", api.Profile.as_view()),
    path("api/v1/confirm-email", api.ConfirmEmail.as_view()),
    path("api/v1/password-reset/request", recovery_api.RequestReset.as_view()),
    path("api/v1/password-reset/confirm", recovery_api.ConfirmReset.as_view()),
    path("api/v1/register", recovery_api.Register.as_view()),
    path("confirm-email", views.confirm_email),
    path("password-reset", reset_views.request_reset),
    path("password-reset/confirm", reset_views.confirm_reset),
]
