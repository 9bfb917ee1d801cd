"""`playwright`: browsers for the Python library Playwright, and what they need of the system."""

import re
import shlex
from typing import Annotated, Literal

import pydantic

from triggerdev import errors
from triggerdev.build.context import BuildContext, BuildManifest
from triggerdev.build.extension import BuildExtension
from triggerdev.build.layers import BuildLayer
from triggerdev.build.options import Options
from triggerdev.extensions import support

Browser = Literal["chromium", "firefox", "webkit"]

_ENV = {
    "PLAYWRIGHT_BROWSERS_PATH": "/ms-playwright",
    "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1",
    "PLAYWRIGHT_SKIP_VALIDATE_HOST_REQUIREMENTS": "1",
}
_TOOL = "/tmp/playwright"  # noqa: S108 - in an image that is being built
_FIRST_WITH_SHELL = (1, 49)
_FONTS = ["fonts-liberation", "fonts-noto-color-emoji"]
# Playwright itself is asked where it would look for its browsers, and finds Debian's there.
_LINK = """\
import os, re
from playwright.sync_api import Error, sync_playwright
with sync_playwright() as playwright:
    for headless in (True, False):
        try:
            playwright.chromium.launch(headless=headless).close()
        except Error as error:
            missing = re.search(r"Executable doesn't exist at (\\S+)", str(error))
            if missing:
                os.makedirs(os.path.dirname(missing[1]), exist_ok=True)
                os.symlink("/usr/bin/chromium", missing[1])
    browser = playwright.chromium.launch()
    browser.new_page().goto("data:text/html,it works")
    browser.close()
"""


class PlaywrightOptions(Options):
    """`browsers`; `headless`: without windows only; `version` of the library; `channel`: "debian"."""

    browsers: list[Browser] = pydantic.Field(["chromium"], min_length=1)
    headless: bool = True
    version: Annotated[str, pydantic.Field(pattern=support.VERSION)] | None = None
    channel: Literal["debian"] | None = None


class Playwright(BuildExtension):
    """Install browsers by Playwright's own installer, or Debian's chromium in the place of its own."""

    name = "playwright"
    Options = PlaywrightOptions
    options: PlaywrightOptions

    async def on_build_complete(self, context: BuildContext, manifest: BuildManifest) -> None:
        """Add the browsers, below the project's dependencies, and pin the library to their version."""
        if context.target != "deploy":
            return
        version = support.version_in_use(context, "playwright", self.options.version)
        context.logger.debug(f"browsers for playwright {version}: {', '.join(self.options.browsers)}")
        is_debian = self.options.channel == "debian"
        packages = self._debian() if is_debian else []
        if not self.options.headless:
            packages = [*packages, "xauth", "xvfb"]
        env = _ENV if self.options.headless else {**_ENV, "DISPLAY": ":99"}
        context.add_layer(
            BuildLayer(
                id=self.name,
                placement="base",
                commands=[_tool(version), _linked() if is_debian else self._installed(version), _cleaned()],
                image=support.image(packages, env),
                deploy=support.deploy(env),
                dependencies={"playwright": version},
            )
        )

    def _debian(self) -> list[str]:
        others = [browser for browser in self.options.browsers if browser != "chromium"]
        if others:
            raise errors.BuildError(
                f'channel = "debian" has chromium only, not {", ".join(others)}; leave them out of browsers, '
                "or leave channel out"
            )
        return ["chromium", *_FONTS]

    def _installed(self, version: str) -> str:
        """Write the command of Playwright's installer, which knows the packages that its browsers need."""
        names = sorted(set(self.options.browsers))
        has_shell = tuple(map(int, re.findall(r"\d+", version)[:2])) >= _FIRST_WITH_SHELL
        only_shell = "--only-shell " if self.options.headless and "chromium" in names and has_shell else ""
        return (
            f"PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD= {_TOOL}/bin/python -m playwright install --with-deps "
            f"{only_shell}{' '.join(names)}"
        )


def _tool(version: str) -> str:
    pip = f"{_TOOL}/bin/python -m pip install --disable-pip-version-check --no-cache-dir --no-compile"
    return f"python -m venv {_TOOL}\n{pip} playwright=={version}"


def _linked() -> str:
    return f"{_TOOL}/bin/python -c {shlex.quote(_LINK)}"


def _cleaned() -> str:
    return f"chmod -R a+rX /ms-playwright\nrm -rf {_TOOL} /root/.cache /var/lib/apt/lists/*"
