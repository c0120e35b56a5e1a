"""Pages in a real Chromium: who looks, at which width, in which colours and language; whatever the console complains of is a failure."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from django.conf import settings as django_settings
from django.test import Client
from django.test.testcases import LiveServerThread
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from accounts import clock
from accounts.models import User
from tests.staff import give_role, let_in

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
WIDTHS = {"desktop": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}
# That a page fits each width, and its contrasts in both themes, is looked at without loading it anew. Both looks are for ALL=1.
LOOKS = (("phone", "dark", "ru"), ("desktop", "light", "en"))[: None if os.environ.get("ALL") else 1]
SERIOUS = ("serious", "critical")
# Only what is found crosses over from the browser; no rule that is asked needs the style sheets and media to be fetched once more.
AXE_RUN = "options => axe.run({resultTypes: ['violations'], preload: false, ...options}).then(results => results.violations)"
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if "tests/browser/" in item.nodeid]
    for item in here:
        item.add_marker(pytest.mark.django_db(transaction=True))
        if chromium() is None and os.environ.get("CI") != "true":
            item.add_marker(pytest.mark.skip(reason="chromium is not installed: apt-get install chromium"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium()
    assert path is not None, "chromium is not installed"
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright's loop runs in this thread; the database is used as ever
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=[*FLAGS])
        yield launched
        launched.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@dataclass(frozen=True)
class Site:
    url: str


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The application in a thread of this process, over HTTP; static files come from WhiteNoise, as they do in production."""
    thread = LiveServerThread("localhost", static_handler=lambda application: application)
    thread.daemon = True
    thread.start()
    thread.is_ready.wait()
    assert thread.error is None
    yield Site(f"http://localhost:{thread.port}")
    thread.terminate()


def follow(page: Page, name: str, *, exact: bool = False) -> None:
    """Click the button or link of this name. The page that it leads to has come when this returns: a click alone may return before."""
    with page.expect_navigation():
        page.get_by_role("button", name=name, exact=exact).or_(page.get_by_role("link", name=name, exact=exact)).first.click()


@dataclass
class Window:
    """A page, the server it looks at, and what the console said."""

    page: Page
    base_url: str
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        self.page.goto(f"{self.base_url}{path}")
        return self.page

    def click(self, name: str, *, exact: bool = False) -> None:
        """A button or link that leads to a page, by what it is called."""
        follow(self.page, name, exact=exact)

    def wait_for(self, path: str) -> None:
        self.page.wait_for_url(f"{self.base_url}{path}")

    @property
    def path(self) -> str:
        return self.page.url.removeprefix(self.base_url)

    @property
    def title(self) -> str:
        return self.page.locator("h1").first.inner_text()

    def ensure_accessible(self) -> None:
        """By axe; contrasts in both themes."""
        self.page.evaluate(AXE_SCRIPT)
        found = self.page.evaluate(AXE_RUN, {})
        is_dark = self.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        self.page.emulate_media(color_scheme="light" if is_dark else "dark")
        found += self.page.evaluate(AXE_RUN, CONTRAST)
        self.page.emulate_media(color_scheme="dark" if is_dark else "light")
        told = [f"{each['id']}: {node['html'][:160]}" for each in found if each["impact"] in SERIOUS for node in each["nodes"]]
        assert told == [], f"{self.path}: {told}"

    def ensure_fits(self) -> None:
        """Nothing stands out to the right: no page scrolls sideways, at any width."""
        chosen = self.page.viewport_size
        assert chosen is not None
        for size in (*(each for each in WIDTHS.values() if each != chosen), chosen):
            self.page.set_viewport_size(size)
            widths = self.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            assert widths[0] <= widths[1], f"{self.path}: {widths[0]} px wide in {widths[1]}"


@pytest.fixture
def open_window(browser: Browser, site: Site) -> Iterator[Callable[..., Window]]:
    """Make a Window; each has cookies of its own. `open_window(width="phone", theme="dark", language="ru")`."""
    opened: list[Window] = []

    def open_one(*, width: str = "desktop", theme: str = "light", language: str = "en") -> Window:
        context = browser.new_context(
            viewport=WIDTHS[width],
            color_scheme=theme,
            reduced_motion="reduce",  # or a colour is looked at on its way to another
            locale=language,
            extra_http_headers={"Accept-Language": language},
        )
        window = Window(context.new_page(), site.url)
        window.page.set_default_timeout(15_000)
        window.page.on("console", lambda message: _take(window, message))
        window.page.on("pageerror", lambda error: window.complaints.append(str(error)))
        opened.append(window)
        return window

    yield open_one
    for window in opened:
        window.page.context.close()
    assert [complaint for window in opened for complaint in window.complaints] == []


def _take(window: Window, message: ConsoleMessage) -> None:
    if message.type == "error":
        window.complaints.append(f"{window.page.url}: {message.text}")


@pytest.fixture
def staff_of(db: None, make_user: Callable[..., User]) -> Callable[[str], User]:
    """The member of staff who has this role, made once a test. Named like the role."""

    def find(role: str) -> User:
        existing = User.objects.filter(username=role).first()
        if existing is not None:
            return existing
        return give_role(make_user(role), role)

    return find


@pytest.fixture
def page_as(open_window: Callable[..., Window], staff_of: Callable[[str], User]) -> Callable[..., Window]:
    """A Window in which somebody of this role is signed in, with a second factor: `page_as("owner", width="phone")`."""

    def open_as(role: str, *, signed_in_ago: timedelta = clock.NONE, **how: str) -> Window:
        window, client = open_window(**how), Client()
        let_in(client, staff_of(role), ago=signed_in_ago)
        name = django_settings.SESSION_COOKIE_NAME
        window.page.context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": window.base_url}])
        return window

    return open_as


@pytest.fixture
def with_passkeys() -> Callable[[Window], None]:
    """Give a Window a device that makes passkeys, and whose owner always agrees."""

    def give(window: Window) -> None:
        session = window.page.context.new_cdp_session(window.page)
        session.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        session.send("WebAuthn.addVirtualAuthenticator", {"options": options})

    return give
