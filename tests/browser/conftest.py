"""Chromium for the tests of the gallery page, and galleries of real pictures for it to show."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser.landscapes import draw_landscape
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from ghostroll.model import Gallery, GalleryFailure, GalleryItem, Kind, Publication
from ghostroll.publish.folder import publish_to_folder
from ghostroll.publish.gallery import relative_url

SHAPES = ((600, 400), (400, 600), (600, 338), (500, 500), (900, 300))  # of share pictures, in pixels
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


@dataclass
class Album:
    """A session's folder that pictures can be added to, published as the folder target does."""

    folder: Path
    session: str = "2026-11-22_143015-EOS_DIGITAL-k3f7"
    shapes: tuple[tuple[int, int], ...] = SHAPES
    items: list[GalleryItem] = field(default_factory=list)
    failed: list[GalleryFailure] = field(default_factory=list)

    def add_picture(self, name: str, taken: str | None, kind: Kind = Kind.JPEG) -> GalleryItem:
        """Draw one more picture and write its two renditions."""
        number = len(self.items)
        size = self.shapes[number % len(self.shapes)]
        picture = draw_landscape(number, *size)
        places = [f"{folder}/{number:04} {'#?%&'[number % 4]}ü.jpg" for folder in ("share", "thumbs")]
        for place in places:
            (self.folder / place).parent.mkdir(exist_ok=True)
            picture.save(self.folder / place, quality=90)
            picture.thumbnail((512, 512))
        share, thumb = map(relative_url, places)
        item = GalleryItem(name, taken, "Canon EOS R6", "1/250 s, f/2.8", kind, share, thumb, *size)
        self.items.append(item)
        return item

    def add_day(self, day: str, count: int) -> None:
        """Add pictures of one day, one a minute from 08:00, named by their number in the album."""
        for minute in range(count):
            taken = f"{day}T{8 + minute // 60:02}:{minute % 60:02}:00"
            self.add_picture(f"IMG_{len(self.items):04}.JPG", taken)

    def publish(self, state: Publication = Publication.COMPLETE, total: int | None = None) -> None:
        """Write the page with all pictures so far."""
        count = len(self.items) if total is None else total
        gallery = Gallery(self.session, state, count, tuple(self.items), tuple(self.failed))
        publish_to_folder(str(self.folder), gallery)

    @property
    def file_url(self) -> str:
        """The page's address on the disk."""
        return (self.folder / "index.html").as_uri()


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
