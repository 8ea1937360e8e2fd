"""Headless Chromium for tests of pages: width, colour scheme, console, overflow, screenshots."""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--disable-dev-shm-usage",
)  # fmt: skip
_WIDER_THAN_THE_PAGE = """
const wide = document.documentElement.clientWidth;
return [...document.querySelectorAll('body *')]
  .filter(e => !e.closest('.scroll') && !e.closest('svg *') && !e.closest('.skip')
               && e.getBoundingClientRect().right > wide + 1)
  .map(e => e.tagName + '.' + e.getAttribute('class') + ' ' + e.textContent.slice(0, 40));
"""


def missing() -> str | None:
    """Why there is no browser here, or None."""
    for name in ("chromium", "chromedriver"):
        if shutil.which(name) is None:
            return f"{name} is not installed: apt-get install chromium chromium-driver"
    return None


@contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """A driver with a fresh profile."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def visit(driver: Any, page: Path, width: int, scheme: str) -> dict[str, Any]:
    """Open a page; returns console messages, what overflows, and a PNG of the whole page."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    driver.get(page.as_uri())
    size = driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    shot = driver.execute_cdp_cmd(
        "Page.captureScreenshot", {"captureBeyondViewport": True, "format": "png"}
    )
    height = driver.execute_script("return document.documentElement.scrollHeight")
    if height < 14_000:
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
        )
    return {
        "console": [entry["message"] for entry in driver.get_log("browser")],
        "overflow": driver.execute_script(_WIDER_THAN_THE_PAGE),
        "scroll_width": size[0],
        "inner_width": size[1],
        "png": base64.b64decode(shot["data"]),
    }
