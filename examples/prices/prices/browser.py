"""Pages as a browser sees them."""

import asyncio
from typing import Any

# Containers have no sandbox of the browser's own, and little shared memory.
_ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]
_SECONDS = 60


async def read(url: str) -> str:
    """Open a page, wait until its scripts have made it, and give its HTML."""
    from playwright.async_api import async_playwright  # takes a while, and only this needs it

    async with asyncio.timeout(_SECONDS), async_playwright() as playwright:
        browser = await playwright.chromium.launch(args=_ARGUMENTS)
        try:
            page = await browser.new_page(locale="en-GB")
            await page.route("**/*", _only_what_is_read)
            await page.goto(url, wait_until="load")
            return str(await page.content())
        finally:
            await browser.close()


async def _only_what_is_read(route: Any) -> None:
    """Leave out what costs the shop and us time: pictures, films, fonts."""
    if route.request.resource_type in ("image", "media", "font"):
        await route.abort()
    else:
        await route.continue_()
