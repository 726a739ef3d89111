"""Chromium as a reader of the record browser, and what it complains of on the way."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Literal

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    StorageState,
    expect,
    sync_playwright,
)

from support.servers import missing

Theme = Literal["light", "dark"]

THEMES: Sequence[Theme] = ("light", "dark")
WIDTHS = (360, 1280, 1920)
HEIGHT = 900

RAN = "kato_ran"
"""The variable of a window that hostile data would set if any of it ran."""

_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
_TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
_PATIENCE_MS = 15_000

expect.set_options(timeout=_PATIENCE_MS)

_AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
_ASK_AXE = """([wanted]) => axe.run({runOnly: wanted, resultTypes: ["violations"]})"""
_COLOURS = ("color-contrast",)

_REPORT = f"""
Object.defineProperty(window, "{RAN}", {{ set() {{ console.error("hostile text ran"); }} }});
document.addEventListener("securitypolicyviolation", (event) => {{
  console.error(`policy: ${{event.violatedDirective}} ${{event.blockedURI}} ${{event.sample}}`);
}});
"""

_STICKING_OUT = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const inside = (element) => element.parentElement?.closest(".scroll, pre");
  return [...document.body.querySelectorAll("*")]
    .filter((element) => !inside(element) && element.getBoundingClientRect().right > width + 1)
    .map((element) => element.outerHTML.slice(0, 160));
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a Chromium without windows for a while; skip or fail the test where there is none."""
    program = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if program is None:
        missing("no chromium-headless-shell and no chromium on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class Reader:
    """Somebody at a window, and everything that went wrong in it, in the order in which it did.

    `origin` is where the record browser serves; a request that goes elsewhere is a complaint, and
    is not let through.
    """

    def __init__(  # noqa: PLR0913 - each is a fact of the window
        self,
        browser: Browser,
        origin: str,
        *,
        theme: Theme = "light",
        width: int = 1280,
        script: bool = True,
        signed_in: StorageState | None = None,
    ) -> None:
        self.origin = origin
        self.complaints: list[str] = []
        self.context: BrowserContext = browser.new_context(
            base_url=origin,
            color_scheme=theme,
            viewport={"width": width, "height": HEIGHT},
            java_script_enabled=script,
            storage_state=signed_in,
            accept_downloads=False,
        )
        self.context.set_default_timeout(_PATIENCE_MS)
        self.context.add_init_script(_REPORT)
        self.context.route(lambda url: not self._own(url), lambda route: route.abort())
        self.page: Page = self.context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self._complain(f"error: {error}"))
        self.page.on("dialog", self._dismiss)
        self.page.on("request", self._see)
        self.page.on("popup", lambda page: self._complain(f"window: {page.url}"))

    def open(self, path: str, *, status: int = 200) -> Page:
        """Go to a path, and expect the status that belongs to it."""
        response = self.page.goto(path)
        assert response is not None
        assert status == response.status, f"{path}: {response.status}\n{response.text()[:2000]}"
        self.expect_status(status)
        return self.page

    def fill_in(self, name: str, password: str) -> None:
        """Send the form for name and password."""
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()

    def expect_status(self, status: int) -> None:
        """Take an answer with this status for what it should be.

        Chromium counts it among the errors of its console.
        """
        expected = f"the server responded with a status of {status}"
        self.complaints = [each for each in self.complaints if expected not in each]

    def resize(self, width: int) -> None:
        """Make the window narrower or wider."""
        self.page.set_viewport_size({"width": width, "height": HEIGHT})

    def sticking_out(self) -> list[str]:
        """Give what stands out of the window on the right, where the page as a whole does."""
        self.page.wait_for_load_state()  # until then the style may be missing
        found: list[str] = self.page.evaluate(_STICKING_OUT)
        return found

    def barriers(self, *, colours_only: bool = False) -> list[str]:
        """Give what axe-core finds on the page against WCAG 2.2 A and AA."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(_AXE)
        wanted = {"type": "rule", "values": _COLOURS} if colours_only else _TAGS
        found: dict[str, Any] = self.page.evaluate(_ASK_AXE, [wanted])
        return [
            f"{violation['id']}: {node['failureSummary']}\n{node['html'][:300]}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    def assert_content(self) -> None:
        """Fail where anything was wrong until now."""
        self.page.title()  # what the page has said until now is heard before its answer
        assert [] == self.complaints

    def close(self) -> None:
        """Close the window."""
        self.context.close()

    def _own(self, url: str) -> bool:
        return url == self.origin or url.startswith(f"{self.origin}/")

    def _complain(self, what: str) -> None:
        self.complaints.append(f"{what} (on {self.page.url})")

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complain(f"{message.type}: {message.text}")

    def _dismiss(self, dialog: Dialog) -> None:
        self._complain(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _see(self, request: Request) -> None:
        if not self._own(request.url):
            self._complain(f"request: {request.url[:200]}")
