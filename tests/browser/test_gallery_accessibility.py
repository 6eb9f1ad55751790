"""The gallery page for people who see, hear or point differently: axe-core finds nothing serious."""

from importlib.resources import files

import pytest
from browser.albums import Album
from browser.bucket_pages import BucketPages, Front
from browser.looking import ask_page, open_tile, press, resize, run_first, wait_until
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

from ghostroll.model import GalleryFailure, Kind, Publication

AXE = files("selenium_axe_python").joinpath("axe-core", "axe.min.js").read_text(encoding="utf-8")
GRAVE = {"serious", "critical"}
STILL = "document.getAnimations().every((animation) => animation.effect.getTiming().iterations === Infinity)"


def dress(browser: Chrome, width: int, scheme: str) -> None:
    """A window of this width on a system that is light or dark."""
    resize(browser, width, 740)
    feature = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})


def find_grave(browser: Chrome) -> list[str]:
    """What axe-core calls serious or critical: the rule and the elements."""
    wait_until(browser, STILL)  # a colour half faded in is not the colour
    browser.execute_script(AXE)
    found = browser.execute_async_script("axe.run().then(({violations}) => arguments[0](violations))")
    return [f"{each['id']}: {each['nodes']}" for each in found if each["impact"] in GRAVE]


def fill(album: Album) -> None:
    """Everything that a page can show."""
    album.add_day("2026-11-21", 5)
    album.add_picture("MVI_1.MP4", "2026-11-22T10:00:00", Kind.VIDEO)
    album.add_picture("IMG_2.JPG", None)
    album.failed.append(GalleryFailure("IMG_3.JPG", "is truncated"))


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_grid_and_lightbox(browser: Chrome, pages: BucketPages, width: int, scheme: str) -> None:
    """The growing grid, an open list of failures, and an open picture with all its controls."""
    dress(browser, width, scheme)
    fill(pages.album)
    pages.originals = True
    pages.put_archive(b"zip")
    pages.publish(Publication.LIVE, 9)
    browser.get(pages.open_page())
    wait_until(browser, "document.querySelectorAll('.tile:not(.loading)').length === 7")
    ask_page(browser, "document.querySelector('#failed').open = true")
    assert find_grave(browser) == []
    open_tile(browser, 5)
    assert find_grave(browser) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_to_see(browser: Chrome, pages: BucketPages, front: Front, scheme: str) -> None:
    """A page that waits for its first picture, and one whose link has expired, with pictures and without."""
    dress(browser, 360, scheme)
    run_first(browser, "window.setTimeout = ((real) => (act) => real(act, 100))(setTimeout)")
    pages.publish(Publication.LIVE, 9)
    browser.get(pages.open_page())
    wait_until(browser, "document.querySelector('#status').textContent.startsWith('The first')")
    assert find_grave(browser) == []
    front.refuse = lambda path: (403, "") if "gallery.json" in path else None
    wait_until(browser, "document.body.dataset.state === 'expired'")
    assert find_grave(browser) == []
    front.refuse = lambda _: None
    fill(pages.album)
    pages.publish(Publication.LIVE, 9)
    browser.refresh()
    wait_until(browser, "document.querySelectorAll('.tile:not(.loading)').length === 7")
    front.refuse = lambda path: (403, "") if "gallery.json" in path else None
    wait_until(browser, "document.body.dataset.state === 'expired'")
    assert find_grave(browser) == []


def test_everything_by_keys(browser: Chrome, pages: BucketPages) -> None:
    """With Tab alone one reaches the archive, the failures, the pictures, and all that a picture offers."""
    fill(pages.album)
    pages.originals = True
    pages.put_archive(b"zip")
    pages.publish()
    browser.get(pages.open_page())
    wait_until(browser, "document.querySelectorAll('.tile:not(.loading)').length === 7")
    assert walk(browser, 4) == ["archive", "SUMMARY", "A", "A"]
    press(browser, Keys.ENTER)
    wait_until(browser, "document.querySelector('#lightbox').open")
    assert ask_page(browser, "document.activeElement.id") == "close"
    reached = set(walk(browser, 8))
    assert {"previous", "next", "download", "original", "close"} <= reached
    press(browser, Keys.ESCAPE)
    wait_until(browser, "document.activeElement.title === 'IMG_0001.JPG'")


def walk(browser: Chrome, steps: int) -> list[str]:
    """Press Tab, and name what got the focus: its id, or its element."""
    seen = []
    for _ in range(steps):
        press(browser, Keys.TAB)
        seen.append(ask_page(browser, "document.activeElement.id || document.activeElement.tagName"))
    return seen
