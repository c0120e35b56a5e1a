"""Serve the small world on a free port of this machine, look at its pages in Chromium, and keep what is seen."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client as Browser  # noqa: E402
from django.test.testcases import LiveServerThread  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402

from oauth.models import Client, SigningKey  # noqa: E402
from tests.browser.conftest import FLAGS, chromium  # noqa: E402
from tests.screenshots import small_png, world  # noqa: E402
from tests.screenshots.__main__ import BUILD, DOCS  # noqa: E402
from tests.staff import let_in  # noqa: E402

WIDTHS = {"desktop": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}
THEMES = ("light", "dark")
TALLEST = 2600
IN_DOCS = {"width": 1200, "height": 750}


@dataclass(frozen=True)
class Shot:
    """A page as somebody of a role sees it; `then` does something on it first. `of_docs`: the docs have it, as wide as they are."""

    name: str
    role: str
    path: str
    then: Callable[[Page], None] | None = None
    of_docs: bool = False
    whole: bool = False


def shots(made: world.World) -> list[Shot]:
    user = f"/admin/accounts/user/{made.locked.pk}"
    grafana = f"/admin/oauth/client/{Client.objects.get(client_id='grafana').pk}"
    return [
        Shot("overview", "support", "/admin/", of_docs=True, whole=True),
        Shot("find", "support", "/admin/", then=_find, of_docs=True),
        Shot("user-locked", "support", f"{user}/change/", of_docs=True),
        Shot("unlock", "support", f"{user}/unlock/", then=_write_reason, of_docs=True),
        Shot("sign-out-everywhere", "support", f"{user}/sign-out-everywhere/", of_docs=True),
        Shot("users", "support", "/admin/accounts/user/"),
        Shot("many-users", "support", "/admin/accounts/user/", then=_choose_many, of_docs=True),
        Shot("sessions", "support", "/admin/oauth/session/"),
        Shot("lockouts", "support", "/admin/accounts/logincounter/"),
        Shot("explain", "support", f"/admin/explain/?error_id={made.error_id}", of_docs=True),
        Shot("attack", "support", f"/admin/accounts/auditevent/?address={world.ATTACKER}", of_docs=True),
        Shot("audit", "security-admin", "/admin/accounts/auditevent/"),
        Shot("clients", "owner", "/admin/oauth/client/", of_docs=True),
        Shot("client", "owner", f"{grafana}/change/"),
        Shot("rotate-secret", "owner", f"{grafana}/rotate-secret/"),
        Shot("signing-keys", "security-admin", "/admin/oauth/signingkey/", of_docs=True),
        Shot("key-compromised", "security-admin", f"/admin/oauth/signingkey/{SigningKey.objects.order_by('sequence')[0].pk}/compromised/"),
        Shot("sign-in", "", "/sign-in?next=/admin/"),
    ]


def _find(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("ma")
    with page.expect_navigation():
        page.keyboard.press("Enter")


def _write_reason(page: Page) -> None:
    page.get_by_label("Reason").fill("called from her number on file, was on another keyboard")


def _choose_many(page: Page) -> None:
    for box in page.locator("#result_list tbody .action-checkbox input").all()[:5]:
        box.check()
    page.locator("select[name=action]").select_option("sign_out_everywhere")
    with page.expect_navigation():
        page.locator("button[name=index]").click()


def main(folders: list[str]) -> int:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    call_command("migrate", verbosity=0)
    made = world.make()
    thread = LiveServerThread("localhost", static_handler=lambda application: application)
    thread.daemon = True
    thread.start()
    thread.is_ready.wait()
    assert thread.error is None, thread.error
    try:
        url = f"http://localhost:{thread.port}"
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=[*FLAGS])
            taken = _take_all(browser, url, made, Path(folders[0]) if folders else BUILD)
            if not folders:
                taken += _take_for_docs(browser, url, made)
            browser.close()
    finally:
        thread.terminate()
    print(f"{taken} pictures")
    return 0


def _take_all(browser, url: str, made: world.World, folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    taken = 0
    for width, viewport in WIDTHS.items():
        for theme in THEMES:
            for shot in shots(made):
                page = _page(browser, url, made, shot, viewport=viewport, theme=theme)
                height = page.evaluate("document.documentElement.scrollHeight")
                if height > TALLEST:  # a long list is the same all the way down
                    page.set_viewport_size({**viewport, "height": TALLEST})
                page.screenshot(path=folder / f"{shot.name}-{width}-{theme}.png", full_page=height <= TALLEST)
                page.context.close()
                taken += 1
    return taken


def _take_for_docs(browser, url: str, made: world.World) -> int:
    DOCS.mkdir(parents=True, exist_ok=True)
    few = [shot for shot in shots(made) if shot.of_docs]
    for shot in few:
        page = _page(browser, url, made, shot, viewport=IN_DOCS, theme="light")
        (DOCS / f"{shot.name}.png").write_bytes(small_png.smaller(page.screenshot(full_page=shot.whole)))
        page.context.close()
    return len(few)


def _page(browser, url: str, made: world.World, shot: Shot, *, viewport, theme: str) -> Page:
    context = browser.new_context(
        viewport=viewport,
        color_scheme=theme,
        locale="en",
        timezone_id="UTC",
        reduced_motion="reduce",
        extra_http_headers={"Accept-Language": "en"},
    )
    if shot.role:
        signed_in, name = Browser(), settings.SESSION_COOKIE_NAME
        let_in(signed_in, made.staff[shot.role])
        context.add_cookies([{"name": name, "value": signed_in.cookies[name].value, "url": url}])
    page = context.new_page()
    page.goto(f"{url}{shot.path}")
    if shot.then is not None:
        shot.then(page)
    page.wait_for_load_state("networkidle")
    return page


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
