"""Where a sign-in leads: to paths of this server alone (accounts/next_page.py)."""

import pytest

from accounts import next_page
from tests.staff import send_password

ELSEWHERE = (
    *("https://evil.example", "https:evil.example", "http:///evil.example", "//evil.example", "///evil.example", "////evil.example"),
    *("\\\\evil.example", "/\\evil.example", "\\/evil.example", "/\\/evil.example", "/account\\..\\..\\evil.example"),
    *(
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        "/\r\nLocation: https://evil.example",
        "/\x00/evil.example",
        "/\u200b/evil",
    ),
    *(
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "evil.example",
        "@evil.example",
        "?next=//evil.example",
        "",
        " /account",
    ),
    *("http://testserver/account", "//testserver/account"),
)
OURS = (
    "/",
    "/account",
    "/admin/",
    "/oauth/authorize/resume?client_id=editor&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&state=%5C",
    "/a?b=//c#d",
)


@pytest.mark.parametrize("url", ELSEWHERE)
def test_what_a_browser_may_read_as_another_server_is_not_ours(url):
    assert not next_page.is_ours(url)


@pytest.mark.parametrize("url", OURS)
def test_a_path_of_this_server_is_ours(url):
    assert next_page.is_ours(url)


@pytest.mark.django_db
@pytest.mark.parametrize("url", ELSEWHERE)
def test_nobody_is_led_away_by_signing_in(alice, client, url):
    response = send_password(client, "alice", to=url)

    assert (response.status_code, response["Location"]) == (302, "/account")
    assert client.get("/sign-in", {"next": url})["Location"] == "/account"


@pytest.mark.django_db
@pytest.mark.parametrize("url", OURS)
def test_a_sign_in_goes_on_to_where_it_was_asked_for(alice, client, url):
    assert send_password(client, "alice", to=url)["Location"] == url


@pytest.mark.django_db
def test_the_way_out_leads_to_paths_of_this_server_alone(alice, client):
    client.force_login(alice, backend="accounts.authentication.Backend")

    assert client.post("/sign-out", {"next": "//evil.example"})["Location"] == "/sign-in"


@pytest.mark.django_db
def test_staff_come_to_the_admin_and_others_to_their_account(alice, make_user, client):
    make_user("root", is_staff=True)

    assert send_password(client, "alice", to="")["Location"] == "/account"
    client.logout()
    assert send_password(client, "root", to="")["Location"] == "/admin/"


@pytest.mark.django_db
@pytest.mark.parametrize(("hint", "shown"), [("alice", "alice"), ('"><script>x', '"><script>x'), ("a\nb", None), ("a" * 255, None)])
def test_a_hint_begins_the_form_with_a_name(client, hint, shown):
    page = client.get("/sign-in", {"login_hint": hint})

    assert page.context["form"]["login"].value() == shown
    assert "<script>x" not in page.content.decode()
