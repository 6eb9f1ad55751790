"""The gallery page as people see it."""

import base64
import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from browser.albums import Album
from browser.conftest import Site
from browser.looking import (
    ask_page,
    open_tile,
    press,
    read_complaints,
    read_requests,
    resize,
    text_of,
    tile_names,
    wait_for,
    wait_for_picture,
    wait_until,
)
from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from ghostroll.model import Gallery, GalleryFailure, Kind, Publication
from ghostroll.publish.wording import say_failed, say_state

HOSTILE = (
    "</script><script>window.hurt = 1</script>.JPG",
    "<img src=x onerror='window.hurt = 2'>",
    "\u202egpj.exe\u2066",
    '{{ 7 * 7 }}\u2028\' onmouseover="window.hurt = 3" "',
    "--><svg onload=window.hurt=4>&lt;",
)
ALL_LOADED = "[...document.querySelectorAll('.tile img')].every((image) => image.naturalWidth > 0)"


@pytest.mark.parametrize("way", ["file", "http"])
def test_every_picture_is_shown_and_nothing_else_is_asked_for(
    browser: Chrome, album: Album, site: Site, way: str
) -> None:
    """From a disk and from a server, all pictures load, without a complaint or a foreign request."""
    album.add_day("2026-11-21", 7)
    album.add_day("2026-11-22", 6)
    album.publish()
    url = album.file_url if way == "file" else site.url
    browser.get(url)
    assert tile_names(browser) == [f"IMG_{number:04}.JPG" for number in range(13)]
    wait_until(browser, ALL_LOADED)
    open_tile(browser, 2)
    headings = [heading.text for heading in browser.find_elements(By.TAG_NAME, "h2")]
    assert headings == ["Saturday, 21 November 2026\n7", "Sunday, 22 November 2026\n6"]
    assert read_complaints(browser) == []
    allowed = (url.removesuffix("index.html"), "data:")
    assert [url for url in read_requests(browser) if not url.startswith(allowed)] == []


def test_lightbox_is_worked_by_keys(browser: Chrome, album: Album) -> None:
    """Arrows, Home and End turn the pages, Escape closes, and the focus is on the picture last seen."""
    album.add_day("2026-11-21", 5)
    album.publish()
    browser.get(album.file_url)
    press(browser, Keys.TAB, Keys.ARROW_RIGHT, Keys.ENTER)
    wait_for_picture(browser)
    seen = []
    for key in (Keys.ARROW_RIGHT, Keys.END, Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.HOME, Keys.ARROW_LEFT):
        press(browser, key)
        wait_for_picture(browser)
        seen.append(text_of(browser, "#position"))
    assert seen == ["3 / 5", "5 / 5", "5 / 5", "4 / 5", "1 / 5", "1 / 5"]
    press(browser, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert text_of(browser, "#picture-name") == "IMG_0002.JPG"
    assert text_of(browser, "#picture-time") == "Saturday, 21 November 2026, 08:02:00"
    assert text_of(browser, "#picture-camera") == "Canon EOS R6"
    assert text_of(browser, "#picture-caption") == "1/250 s, f/2.8"
    press(browser, Keys.ESCAPE)
    wait_until(browser, "document.activeElement.title === 'IMG_0002.JPG'")
    assert not ask_page(browser, "document.querySelector('#lightbox').open")


def test_neighbours_are_loaded_ahead(browser: Chrome, album: Album, site: Site) -> None:
    """While a picture is looked at, the next one and the one before are loaded, and no others."""
    album.add_day("2026-11-21", 7)
    album.publish()
    browser.get(site.url)
    open_tile(browser, 3)
    shown = [f"/{album.items[number].share}" for number in (2, 3, 4)]
    wait_for(browser, lambda _: set(shown) <= set(site.asked))
    assert {path for path in site.asked if "/share/" in path} == set(shown)


def test_focus_stays_inside_the_lightbox(browser: Chrome, album: Album) -> None:
    """However often Tab is pressed, nothing behind the open picture gets the focus."""
    album.add_day("2026-11-21", 3)
    album.publish()
    browser.get(album.file_url)
    open_tile(browser, 1)
    inside = set()
    for _ in range(8):
        press(browser, Keys.TAB)
        where = "document.activeElement === document.body || document.activeElement.closest('#lightbox')"
        assert ask_page(browser, f"Boolean({where})")
        inside.add(ask_page(browser, "document.activeElement.id"))
    assert {"previous", "next", "download", "close"} <= inside


def test_arrows_move_between_pictures_in_the_grid(browser: Chrome, album: Album) -> None:
    """Down goes to the row below, and up comes back to the row above."""
    album.add_day("2026-11-21", 12)
    album.publish()
    browser.get(album.file_url)
    press(browser, Keys.TAB)
    top = "document.activeElement.getBoundingClientRect().top"
    first = ask_page(browser, top)
    press(browser, Keys.ARROW_DOWN)
    assert ask_page(browser, top) > first
    press(browser, Keys.ARROW_UP)
    assert ask_page(browser, top) == first


def test_swipes_turn_the_pages_and_close(browser: Chrome, album: Album) -> None:
    """A finger to the left shows the next picture, to the right the one before, down closes."""
    album.add_day("2026-11-21", 3)
    album.publish()
    resize(browser, 360, 740)
    browser.get(album.file_url)
    open_tile(browser, 0)
    for start, end, position in (((300, 400), (60, 410), "2 / 3"), ((60, 400), (300, 390), "1 / 3")):
        swipe(browser, start, end)
        wait_for_picture(browser)
        assert text_of(browser, "#position") == position
    swipe(browser, (180, 300), (185, 600))
    wait_until(browser, "!document.querySelector('#lightbox').open")


def test_taps_at_the_sides_turn_the_pages(browser: Chrome, album: Album) -> None:
    """A tap at the right shows the next picture, at the left the one before, in the middle it alone."""
    album.add_day("2026-11-21", 3)
    album.publish()
    resize(browser, 360, 740)
    browser.get(album.file_url)
    open_tile(browser, 0)
    swipe(browser, (340, 400), (340, 400))
    assert text_of(browser, "#position") == "2 / 3"
    swipe(browser, (20, 400), (20, 400))
    assert text_of(browser, "#position") == "1 / 3"
    assert browser.find_element(By.ID, "close").is_displayed()
    swipe(browser, (180, 400), (180, 400))
    assert not browser.find_element(By.ID, "close").is_displayed()


def test_hostile_texts_stay_texts(browser: Chrome, album: Album) -> None:
    """Names, captions and errors that are HTML or script are read as they are, and nothing runs."""
    for name in HOSTILE:
        album.add_picture(name, None)
    album.items = [replace(item, camera=item.name, caption=item.name) for item in album.items]
    album.failed = [GalleryFailure(name, name) for name in HOSTILE]
    album.publish()
    browser.get(album.file_url)
    wait_until(browser, ALL_LOADED)
    assert set(tile_names(browser)) == set(HOSTILE)
    failed = ask_page(
        browser, "[...document.querySelectorAll('#failed bdi')].map((text) => text.textContent)"
    )
    assert failed == [name for name in HOSTILE for _ in range(2)]
    for number in range(len(HOSTILE)):
        open_tile(browser, number)
        shown = {text_of(browser, f"#picture-{part}") for part in ("name", "camera", "caption")}
        assert shown == {album_name(album, browser)}
        press(browser, Keys.ESCAPE)
    assert ask_page(browser, "window.hurt") is None
    assert read_complaints(browser) == []


@pytest.mark.parametrize("address", ["javascript:window.hurt=1", "data:text/html,x", "file:///etc/hostname"])
def test_an_address_elsewhere_is_no_link(browser: Chrome, album: Album, address: str) -> None:
    """A picture whose address isn't one of a picture is named, and can't be clicked."""
    item = album.add_picture("IMG_1.JPG", None)
    album.items = [replace(item, share=address)]
    album.publish()
    browser.get(album.file_url)
    assert browser.find_element(By.CSS_SELECTOR, ".tile.broken").text == "IMG_1.JPG"
    assert tile_names(browser) == []


def test_a_missing_picture_is_named(browser: Chrome, album: Album) -> None:
    """Where a thumbnail is gone its name stands in the grid; a gone picture is admitted."""
    album.add_day("2026-11-21", 2)
    album.publish()
    for place in ("share", "thumbs"):
        next((album.folder / place).glob("0001*")).unlink()
    browser.get(album.file_url)
    broken = wait_for(browser, lambda _: browser.find_elements(By.CSS_SELECTOR, ".tile.broken"))
    assert broken[0].text == "IMG_0001.JPG"
    browser.find_elements(By.CSS_SELECTOR, ".tile a")[1].click()
    wait_until(browser, "!document.querySelector('#broken').hidden")
    press(browser, Keys.ARROW_LEFT)
    wait_for_picture(browser)
    assert ask_page(browser, "document.querySelector('#broken').hidden")


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_no_width_scrolls_sideways(browser: Chrome, album: Album, width: int) -> None:
    """From a small phone to a desk, the page is as wide as its window, whatever the names."""
    album.session = "2026-11-22_143015-" + "W" * 32 + "-k3f7"
    for number, shape in enumerate(((600, 400), (9000, 300), (200, 4000), (500, 500))):
        album.add_picture("N" * 200 + str(number), "2026-11-22T10:00:00")
        album.items[-1] = replace(album.items[-1], width=shape[0], height=shape[1])
    album.failed = [GalleryFailure("E" * 300, "F" * 300)]
    album.publish()
    resize(browser, width, 740)
    browser.get(album.file_url)
    ask_page(browser, "document.querySelector('#failed').open = true")
    assert ask_page(browser, "document.documentElement.scrollWidth") <= width
    open_tile(browser, 0)
    assert ask_page(browser, "document.querySelector('#lightbox').scrollWidth") <= width


def test_dark_mode_is_dark(browser: Chrome, album: Album) -> None:
    """The page is light or dark as the system is."""
    album.add_day("2026-11-21", 1)
    album.publish()
    corners = {}
    for mode in ("light", "dark"):
        scheme = [{"name": "prefers-color-scheme", "value": mode}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        browser.get(album.file_url)
        wait_until(browser, ALL_LOADED)
        picture = browser.execute_cdp_cmd("Page.captureScreenshot", {})["data"]
        corners[mode] = Image.open(io.BytesIO(base64.b64decode(picture))).convert("L").getpixel((2, 2))
    assert corners == {"light": pytest.approx(250, abs=8), "dark": pytest.approx(20, abs=8)}


def test_works_without_script(open_browser: Callable[..., Chrome], album: Album) -> None:
    """With script switched off there is a plain list of pictures that link to the large ones."""
    album.add_day("2026-11-21", 3)
    album.add_picture("<b>CLIP</b>.MP4", "2026-11-22T10:00:00", Kind.VIDEO)
    album.publish()
    browser = open_browser(script=False)
    browser.get(album.file_url)
    assert browser.find_elements(By.CSS_SELECTOR, ".tile") == []
    pictures = browser.find_elements(By.CSS_SELECTOR, ".plain img")
    assert [picture.get_attribute("alt") for picture in pictures] == [item.name for item in album.items]
    wait_for(browser, lambda _: all(picture.get_property("naturalWidth") for picture in pictures))
    assert all(picture.is_displayed() for picture in pictures)
    assert "the clip itself is in the originals" in browser.find_element(By.TAG_NAME, "body").text
    pictures[0].click()
    wait_for(browser, lambda _: "/share/" in browser.current_url)


def test_a_clip_says_where_it_is(browser: Chrome, album: Album) -> None:
    """A clip has a badge in the grid, and its poster says that the clip is in the originals."""
    album.add_picture("MVI_1.MP4", "2026-11-22T10:00:00", Kind.VIDEO)
    album.add_picture("IMG_2.JPG", "2026-11-22T10:00:01")
    album.publish()
    browser.get(album.file_url)
    badge = (
        "getComputedStyle(document.querySelectorAll('.tile')[{}], '::after').clipPath.startsWith('polygon')"
    )
    assert [ask_page(browser, badge.format(number)) for number in range(2)] == [True, False]
    open_tile(browser, 0)
    assert browser.find_element(By.ID, "picture-clip").is_displayed()
    press(browser, Keys.ARROW_RIGHT)
    assert not browser.find_element(By.ID, "picture-clip").is_displayed()


@pytest.mark.parametrize("state", [Publication.LIVE, Publication.COMPLETE])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_script_says_what_the_page_says(
    browser: Chrome, album: Album, state: Publication, count: int
) -> None:
    """The words of the page with script are those of the page without."""
    for number in range(count):
        album.add_picture(f"IMG_{number}.JPG", ("2025-12-31T23:59:59", "2026-01-01T00:00:00", None)[number])
    album.failed = [GalleryFailure("a", "b")] * count
    album.publish(state, 1234)
    browser.get(album.file_url)
    gallery = Gallery(album.session, state, 1234, tuple(album.items), tuple(album.failed))
    spans = {0: "22 November 2026", 1: "31 December 2025", 3: "31 December 2025 – 1 January 2026"}  # noqa: RUF001  # a range
    page = (album.folder / "index.html").read_text()
    said = {part: text_of(browser, part) for part in ("#status", "#span", "#empty-words", "summary")}
    assert all(f">{words}</" in page for words in said.values())
    assert said["#status"] == say_state(gallery)
    assert said["#span"] == spans[count]
    assert said["summary"] == say_failed(gallery)
    assert browser.find_element(By.ID, "empty").is_displayed() is (count == 0)


def test_ten_thousand_pictures_are_a_small_page(browser: Chrome, album: Album) -> None:
    """Only what is near the window is in the page; the last of 10,000 pictures is there at the end."""
    base = album.add_picture("IMG.JPG", None)
    album.items = [
        replace(base, name=f"IMG_{number}.JPG", share=f"{base.share}#{number}", taken=stamp(number))
        for number in range(10_000)
    ]
    album.publish()
    browser.get(album.file_url)
    assert 0 < len(tile_names(browser)) < 300
    ask_page(browser, "scrollTo(0, document.documentElement.scrollHeight)")
    wait_for(browser, lambda _: "IMG_9999.JPG" in tile_names(browser))
    assert len(tile_names(browser)) < 300
    wait_until(browser, ALL_LOADED)
    press_on_last = browser.find_elements(By.CSS_SELECTOR, ".tile a")[-1]
    press_on_last.click()
    wait_for_picture(browser)
    press(browser, Keys.HOME, Keys.ESCAPE)
    wait_until(browser, "document.activeElement.title === 'IMG_0.JPG'")


def stamp(number: int) -> str:
    """A time of capture, a minute after the one before."""
    day, minute = divmod(number, 1440)
    return f"2026-11-{1 + day:02}T{minute // 60:02}:{minute % 60:02}:00"


def album_name(album: Album, browser: Chrome) -> str:
    """The name of the picture in the lightbox, found by its address."""
    address = str(ask_page(browser, "document.querySelector('#picture').src"))
    return next(item.name for item in album.items if address.endswith(item.share))


def swipe(browser: Chrome, start: tuple[int, int], end: tuple[int, int]) -> None:
    """Draw a finger over the screen."""
    for kind, points in (
        ("touchStart", [start]),
        ("touchMove", [((start[0] + end[0]) // 2, (start[1] + end[1]) // 2)]),
        ("touchMove", [end]),
        ("touchEnd", []),
    ):
        if kind == "touchMove" and start == end:
            continue
        touches = [{"x": x, "y": y} for x, y in points]
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
