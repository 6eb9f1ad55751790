"""Chromium for the tests of the gallery page, and servers for it to speak to."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser.albums import Album
from browser.bucket_pages import BucketPages, Front
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from stores import Store, serve_rclone

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
)


@dataclass(frozen=True)
class Site:
    """A folder on a real web server, and what was asked of it."""

    url: str
    asked: list[str]


def start_browser(profile: Path, *, script: bool = True) -> webdriver.Chrome:
    """Start Chromium with a fresh profile. Raises FileNotFoundError, with the remedy, where it is absent."""
    options = webdriver.ChromeOptions()
    options.binary_location = _find_tool("chromium")
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if not script:
        setting = "profile.managed_default_content_settings.javascript"
        options.add_experimental_option("prefs", {setting: 2})
    driver = webdriver.Chrome(options=options, service=Service(_find_tool("chromedriver")))
    driver.get("about:blank")
    driver.get_log("performance")  # type: ignore[no-untyped-call]  # of Chromium's own first page
    return driver


def _find_tool(name: str) -> str:
    if found := shutil.which(name):
        return found
    raise FileNotFoundError(f"{name} is not installed: apt install chromium chromium-driver")


@pytest.fixture
def open_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., webdriver.Chrome]]:
    """Start Chromium; closed after the test. Where there is none the test is skipped, in CI it fails."""
    open_browsers: list[webdriver.Chrome] = []

    def start(*, script: bool = True) -> webdriver.Chrome:
        try:
            driver = start_browser(tmp_path_factory.mktemp("profile"), script=script)
        except FileNotFoundError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(error))
        open_browsers.append(driver)
        return driver

    yield start
    for driver in open_browsers:
        driver.quit()


@pytest.fixture
def browser(open_browser: Callable[..., webdriver.Chrome]) -> webdriver.Chrome:
    """Chromium with script, 1280 pixels wide."""
    return open_browser()


@pytest.fixture
def album(tmp_path: Path) -> Album:
    """An empty album whose folder has a name that needs care in an address."""
    folder = tmp_path / "säsong #1 100%"
    folder.mkdir()
    return Album(folder)


@pytest.fixture
def site(album: Album) -> Iterator[Site]:
    """The album's folder on http://127.0.0.1."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(album.folder)))
    thread = threading.Thread(target=server.serve_forever, name="site", kwargs={"poll_interval": 0.02})
    thread.start()
    yield Site(f"http://127.0.0.1:{server.server_port}/", asked)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A server that checks every signature."""
    with serve_rclone(tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture
def front(server: Store) -> Iterator[Front]:
    """What the browser speaks to."""
    with Front(server.address) as front:
        yield front


@pytest.fixture
def pages(server: Store, front: Front, album: Album) -> BucketPages:
    """The album in a new bucket."""
    return BucketPages(server.with_new_bucket(), album, front.endpoint)
