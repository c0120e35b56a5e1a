from django.contrib.auth.decorators import login_required
from django.urls import path

from accounts import account_pages, api, recovery_api, register_page, reset_views, views
from accounts import sign_in_views as sign_in

urlpatterns = [
    path("api/v1/me", api.Profile.as_view()),
    path("api/v1/confirm-email", api.ConfirmEmail.as_view()),
    path("api/v1/password-reset/request", recovery_api.RequestReset.as_view()),
    path("api/v1/password-reset/confirm", recovery_api.ConfirmReset.as_view()),
    path("api/v1/register", recovery_api.Register.as_view()),
    path("confirm-email", views.confirm_email),
    path("password-reset", reset_views.request_reset, name="password_reset"),
    path("password-reset/confirm", reset_views.confirm_reset),
    # The names are allauth's.
    path("sign-in", sign_in.SignIn.as_view(), name="account_login"),
    path("sign-out", sign_in.SignOut.as_view(), name="account_logout"),
    path("sign-in/again", sign_in.PasswordAgain.as_view(), name="account_reauthenticate"),
    path("sign-in/code", sign_in.Code.as_view(), name="mfa_authenticate"),
    path("sign-in/code/again", sign_in.CodeAgain.as_view(), name="mfa_reauthenticate"),
    path("sign-in/passkey", sign_in.Passkey.as_view(), name="mfa_login_webauthn"),
    path("sign-in/passkey/again", sign_in.PasskeyAgain.as_view(), name="mfa_reauthenticate_webauthn"),
    path("account", account_pages.Profile.as_view(), name="account"),
    path("account/email", account_pages.Email.as_view(), name="account_email"),
    path("account/password", account_pages.Password.as_view(), name="account_password"),
    path("register", register_page.Register.as_view(), name="register"),
    path("account/security", sign_in.Security.as_view(), name="mfa_index"),
    path("account/security/authenticator", login_required(sign_in.AddAuthenticator.as_view()), name="mfa_activate_totp"),
    path("account/security/authenticator/remove", login_required(sign_in.RemoveAuthenticator.as_view()), name="mfa_deactivate_totp"),
    path("account/security/passkeys/add", login_required(sign_in.AddPasskey.as_view()), name="mfa_add_webauthn"),
    path("account/security/passkeys/<str:pk>/remove", login_required(sign_in.RemovePasskey.as_view()), name="mfa_remove_webauthn"),
    path("account/security/recovery-codes", login_required(sign_in.NewRecoveryCodes.as_view()), name="mfa_generate_recovery_codes"),
]
