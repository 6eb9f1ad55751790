"""What a test does with a page: wait, read, press, and see what Chromium complained about."""

import json
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

Answer = TypeVar("Answer")

PATIENCE = 30  # seconds; only a failing test waits so long

# Timers run twenty times as fast, and those that are set can be counted.
FAST_TIMERS = """
  const real = setTimeout;
  window.timers = new Set();
  window.setTimeout = (act, delay) => {
    const timer = real(() => { timers.delete(timer); act(); }, delay / 20);
    timers.add(timer);
    return timer;
  };
"""


def wait_for(browser: Chrome, ask: Callable[[Chrome], Answer | Literal[False]]) -> Answer:
    """The first true answer."""
    return WebDriverWait(browser, PATIENCE, poll_frequency=0.05).until(ask)


def ask_page(browser: Chrome, expression: str, *arguments: object) -> Any:
    """What a JavaScript expression gives in the page."""
    return browser.execute_script(f"return {expression}", *arguments)


def wait_until(browser: Chrome, expression: str, *arguments: object) -> Any:
    """Wait until a JavaScript expression is true in the page."""
    return wait_for(browser, lambda _: ask_page(browser, expression, *arguments))


def run_first(browser: Chrome, script: str) -> None:
    """Run a script in every page before the page's own."""
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})


def resize(browser: Chrome, width: int, height: int) -> None:
    """Make the window a phone's, or any other size, in CSS pixels."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": width < 600})


def press(browser: Chrome, *keys: str) -> None:
    """Press keys one after the other, wherever the focus is."""
    for key in keys:
        ActionChains(browser).send_keys(key).perform()


def text_of(browser: Chrome, selector: str) -> str:
    """The text of the first element, whether visible or not."""
    return str(ask_page(browser, "document.querySelector(arguments[0]).textContent", selector))


def tile_names(browser: Chrome) -> list[str]:
    """The names on the tiles that are in the page, in the order of the page."""
    names = "[...document.querySelectorAll('.tile a')].map((link) => link.title)"
    return list(ask_page(browser, names))


def open_tile(browser: Chrome, number: int) -> None:
    """Click on one of the tiles in the page, and wait for its picture."""
    browser.find_elements(By.CSS_SELECTOR, ".tile a")[number].click()
    wait_for_picture(browser)


def wait_for_picture(browser: Chrome) -> None:
    """Wait until the lightbox shows its picture itself, not the thumbnail below it."""
    loaded = "document.querySelector('#frame:not(.loading) #picture')?.naturalWidth > 0"
    wait_until(browser, f"document.querySelector('#lightbox').open && {loaded}")


def read_complaints(browser: Chrome) -> list[str]:
    """Everything on the browser's console since the last time."""
    return [entry["message"] for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]


def read_requests(browser: Chrome) -> list[str]:
    """Every address that the page asked for since the last time."""
    entries = browser.get_log("performance")  # type: ignore[no-untyped-call]
    messages = [json.loads(entry["message"])["message"] for entry in entries]
    sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    return [params["request"]["url"] for params in sent]
