"""A person at a browser, over HTTP: reads this server's pages, fills in their forms and follows them, until an app is told."""

import re
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx

REFRESH = re.compile(r"0;\s*url=(.*)", re.DOTALL)
MOST_PAGES = 12


class Page(HTMLParser):
    """Where a page goes by itself, and its forms: the action and the values of each."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.goes_on_to = ""
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "meta" and values.get("http-equiv") == "refresh":
            self.goes_on_to = REFRESH.fullmatch(values["content"])[1]
        elif tag == "form":
            self.forms.append((values.get("action", ""), {}))
        elif tag in {"input", "button"} and "name" in values and self.forms:
            self.forms[-1][1].setdefault(values["name"], values.get("value", ""))  # of several buttons, the first

    def form_with(self, *names: str) -> tuple[str, dict[str, str]] | None:
        return next((form for form in self.forms if {*names} <= form[1].keys()), None)


class Person:
    """Signs in where a page asks for it, and presses Allow, or what else is said to be pressed."""

    def __init__(self, base_url: str, *, login: str, password: str) -> None:
        self.browser = httpx.Client(base_url=base_url, timeout=20, headers={"Accept-Language": "en"})
        self._base_url = base_url
        self._login, self._password = login, password
        self.seen: list[str] = []

    def go(self, url: str, *, decision: str = "allow") -> str:
        """Open what an app sends its user to. Gives the address, outside of this server, at which the app is told."""
        self.seen = []
        response = self.browser.get(url)
        for _ in range(MOST_PAGES):
            self.seen.append(response.request.url.path)
            if response.is_redirect:
                target = urljoin(str(response.request.url), response.headers["Location"])
                if not target.startswith(f"{self._base_url}/"):
                    return target
                response = self.browser.get(target)
            else:
                response = self._do_what_it_asks(response, decision=decision)
        raise AssertionError(f"the app was never told; the pages were {self.seen}")

    def let_device_in(self, url: str) -> str:
        """Open what a device shows, and press the button that lets it in. Gives an empty answer: the device asks by itself."""
        response = self.browser.get(url)
        for _ in range(MOST_PAGES):
            page = Page(response.text)
            if response.is_redirect:
                response = self.browser.get(urljoin(str(response.request.url), response.headers["Location"]))
            elif page.goes_on_to:
                response = self.browser.get(page.goes_on_to)
            elif page.form_with("login", "password"):
                response = self.send(page, "login", "password", login=self._login, password=self._password)
            elif page.form_with("shown", "decision"):
                assert self.send(page, "shown", "decision", decision="approve").status_code == 200
                return ""
            else:
                response = self.send(page, "user_code")
        raise AssertionError("the device was never let in")

    def send(self, page: Page, *names: str, **values: str) -> httpx.Response:
        """Fill in the form that has these fields, and press its button."""
        form = page.form_with(*names)
        assert form is not None, f"no form with {names}"
        return self.browser.post(form[0], data=form[1] | values, headers={"Origin": self._base_url})

    def _do_what_it_asks(self, response: httpx.Response, *, decision: str) -> httpx.Response:
        assert response.status_code == 200, (self.seen, response.status_code, response.text[:2000])
        page = Page(response.text)
        if page.goes_on_to:
            return self.browser.get(page.goes_on_to)
        if page.form_with("login", "password"):
            return self.send(page, "login", "password", login=self._login, password=self._password)
        if page.form_with("request") and response.request.url.path == "/oauth/logout":
            return self.send(page, "request")
        if page.form_with("decision", "request"):
            return self.send(page, "decision", "request", decision=decision)
        raise AssertionError(f"nothing to do on the page {self.seen}:\n{response.text[:2000]}")
