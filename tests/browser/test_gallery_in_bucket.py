"""The gallery page out of a private bucket of a real S3 server, by a presigned link."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from browser.albums import Album
from browser.bucket_pages import BucketPages, Front
from browser.conftest import Site
from browser.looking import (
    FAST_TIMERS,
    ask_page,
    open_tile,
    press,
    read_complaints,
    read_requests,
    resize,
    run_first,
    text_of,
    tile_names,
    wait_for,
    wait_for_picture,
    wait_until,
)
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from stores import serve_moto

from ghostroll.model import Publication
from ghostroll.publish.gallery import render_index

QUIET = "window.timers.size === 0"
COMPLETE = "document.body.dataset.state === 'complete'"
EXPIRED = "document.body.dataset.state === 'expired'"
TILES = "[...document.querySelectorAll('.tile img')]"
ALL_LOADED = f"{TILES}.length > 0 && {TILES}.every((image) => image.naturalWidth > 0)"
TOP_OF = "document.querySelector(`.tile a[title='${arguments[0]}']`)?.getBoundingClientRect().top"
LATER = (
    "Date.now = ((now) => () => now() + (window.ahead ?? 0))(Date.now);"  # a clock that can be put forward
)
ACCESS_DENIED = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
HAS_EXPIRED = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"


def is_signed(address: str) -> bool:
    """Whether an address carries a signature."""
    return "X-Amz-Signature" in parse_qs(urlsplit(address).query)


def notice_of(browser: Chrome) -> str:
    """What the notice says, where it is to be seen."""
    return browser.find_element(By.ID, "notice").text


def test_grows_out_of_a_private_bucket(browser: Chrome, pages: BucketPages, front: Front) -> None:
    """Pictures take their place without a reload, nothing in view moves, and once complete nothing is asked."""
    run_first(browser, FAST_TIMERS)
    resize(browser, 360, 740)
    pages.publish(Publication.LIVE, 60)
    browser.get(pages.open_page())
    wait_until(browser, "document.querySelector('#status').textContent !== ''")
    assert text_of(browser, "#status") == "The first pictures are on their way"
    ask_page(browser, "window.mark = 1")
    pages.album.add_day("2026-11-21", 12)
    pages.album.add_day("2026-11-23", 24)
    pages.publish(Publication.LIVE, 60)
    wait_until(browser, "document.querySelector('#status').textContent.startsWith('36 of 60')")
    assert text_of(browser, "#status") == "36 of 60 pictures, 24 still to come"
    ask_page(browser, "document.querySelectorAll('section')[1].scrollIntoView()")
    wait_until(browser, f"{TOP_OF} > 0 && {TOP_OF} < 300", "IMG_0012.JPG")
    before = ask_page(browser, TOP_OF, "IMG_0012.JPG")
    pages.album.add_day("2026-11-22", 9)
    pages.publish(Publication.LIVE, 60)
    wait_until(browser, "document.querySelector('#status').textContent.startsWith('45 of 60')")
    assert ask_page(browser, TOP_OF, "IMG_0012.JPG") == pytest.approx(before, abs=1)
    assert ask_page(browser, "document.documentElement.scrollWidth") <= 360
    pages.publish()
    wait_until(browser, COMPLETE)
    wait_until(browser, QUIET)
    asked = front.count("gallery.json")
    wait_until(browser, ALL_LOADED)
    assert ask_page(browser, "[window.timers.size, window.mark]") == [0, 1]
    assert front.count("gallery.json") == asked
    assert front.count("index.html") == 1
    assert len(front.asked) == len(set(front.asked)) + asked - 1  # no picture twice
    assert read_complaints(browser) == []
    requests = [url for url in read_requests(browser) if not url.startswith("data:")]
    assert [url for url in requests if not url.startswith(front.endpoint) or not is_signed(url)] == []


def test_a_finished_gallery_is_asked_for_once(browser: Chrome, pages: BucketPages, front: Front) -> None:
    """A complete gallery costs one page and one list, however long it stays open."""
    run_first(browser, FAST_TIMERS)
    pages.album.add_day("2026-11-21", 3)
    pages.publish()
    browser.get(pages.open_page())
    wait_until(browser, COMPLETE)
    wait_until(browser, ALL_LOADED)
    assert ask_page(browser, "window.timers.size") == 0
    assert front.count("gallery.json") == 1
    assert text_of(browser, "#status") == "3 pictures, complete"
    assert ask_page(browser, "document.title") == "21 November 2026"
    assert not browser.find_element(By.ID, "archive").is_displayed()


@pytest.mark.parametrize("status", [403, 404])
def test_a_page_may_come_before_its_list(
    browser: Chrome, pages: BucketPages, front: Front, status: int
) -> None:
    """A store that has no list yet, or won't say so, is asked again, and the page says nothing wrong."""
    run_first(browser, FAST_TIMERS)
    front.refuse = lambda path: (status, ACCESS_DENIED) if "gallery.json" in path else None
    browser.get(pages.open_page())
    wait_for(browser, lambda _: front.count("gallery.json") >= 2)  # it asks on while nobody looks
    assert notice_of(browser) == ""
    pages.album.add_day("2026-11-21", 2)
    pages.publish()
    front.refuse = lambda _: None
    wait_until(browser, COMPLETE)
    wait_until(browser, ALL_LOADED)


@pytest.mark.parametrize("refusal", [(403, HAS_EXPIRED), (403, ACCESS_DENIED), (401, ""), (400, HAS_EXPIRED)])
def test_an_expired_link_says_what_to_do(
    browser: Chrome, pages: BucketPages, front: Front, refusal: tuple[int, str]
) -> None:
    """Where the list is refused, the page says that the link has expired, and stops asking."""
    run_first(browser, FAST_TIMERS)
    front.refuse = lambda path: refusal if "gallery.json" in path else None
    resize(browser, 360, 740)
    browser.get(pages.open_page())
    wait_until(browser, EXPIRED)
    assert notice_of(browser).split("\n") == [
        "This link has expired.",
        "Ask whoever sent it to you for a new one.",
    ]
    wait_until(browser, QUIET)
    assert front.count("gallery.json") == (1 if "expired" in refusal[1] else 9)
    assert not browser.find_element(By.ID, "empty").is_displayed()
    assert not browser.find_element(By.ID, "progress").is_displayed()


def test_a_link_really_expires(browser: Chrome, pages: BucketPages) -> None:
    """A page that is open when its link's time is over says so where the reader is; its pictures stay."""
    run_first(browser, FAST_TIMERS)
    pages.album.add_day("2026-11-21", 40)
    pages.put_archive(b"zip")
    pages.publish(Publication.LIVE, 60)
    resize(browser, 360, 740)
    browser.get(pages.open_page(seconds=4))
    wait_until(browser, "document.querySelectorAll('.tile').length > 0")
    ask_page(browser, "scrollTo(0, 900)")
    wait_until(browser, EXPIRED)
    assert notice_of(browser) == "This link has expired. Ask whoever sent it to you for a new one."
    assert 0 < ask_page(browser, "document.querySelector('#notice').getBoundingClientRect().top") < 740
    assert text_of(browser, "#status") == "40 pictures"
    assert not browser.find_element(By.ID, "archive").is_displayed()
    wait_until(browser, QUIET)
    wait_until(browser, ALL_LOADED)
    open_tile(browser, 0)


def test_network_trouble_passes(browser: Chrome, pages: BucketPages, front: Front) -> None:
    """While the store doesn't answer the page says that it tries again; then it goes on by itself."""
    run_first(browser, FAST_TIMERS)
    front.refuse = lambda path: None if "index.html" in path else (503, "SlowDown")
    pages.album.add_day("2026-11-21", 2)
    browser.get(pages.open_page())
    wait_for(browser, lambda _: notice_of(browser) == "No connection just now. Trying again.")
    front.refuse = lambda _: None
    pages.publish(Publication.LIVE, 4)
    wait_until(browser, "document.querySelectorAll('.tile').length === 2")
    front.refuse = lambda _: (503, "SlowDown")
    pages.album.add_day("2026-11-22", 2)
    wait_for(browser, lambda _: notice_of(browser) == "No connection just now. Trying again.")
    assert len(tile_names(browser)) == 2
    front.refuse = lambda _: None
    pages.publish()
    wait_until(browser, COMPLETE)
    assert notice_of(browser) == ""
    wait_until(browser, ALL_LOADED)


def test_new_addresses_are_taken_over(browser: Chrome, pages: BucketPages, front: Front) -> None:
    """A picture whose address died is loaded from a new one; what was loaded is not loaded again."""
    run_first(browser, LATER)
    pages.album.add_day("2026-11-21", 60)
    pages.publish()
    resize(browser, 360, 740)
    browser.get(pages.open_page())
    wait_until(browser, COMPLETE)
    wait_until(browser, ALL_LOADED)
    open_tile(browser, 0)
    press(browser, Keys.ESCAPE)
    old = {address.removeprefix(front.endpoint) for address in pages._signed.values()}
    pages.renew()
    pages.publish()
    front.refuse = lambda path: (403, HAS_EXPIRED) if path in old else None
    first = len(front.asked)
    ask_page(browser, "window.ahead = 3600 * 1000")
    ask_page(browser, "scrollTo(0, document.documentElement.scrollHeight)")
    wait_for(browser, lambda _: "IMG_0059.JPG" in tile_names(browser))
    wait_until(browser, ALL_LOADED)
    later = front.asked[first:]
    assert sum("gallery.json" in path for path in later) == 1
    ask_page(browser, "scrollTo(0, 0)")
    wait_for(browser, lambda _: "IMG_0000.JPG" in tile_names(browser))
    wait_until(browser, ALL_LOADED)
    open_tile(browser, 0)
    before = {urlsplit(path).path for path in front.asked[:first]}
    assert {urlsplit(path).path for path in front.asked[first:]} & before == {
        path for path in before if "gallery.json" in path
    }
    assert browser.find_element(By.ID, "download").get_attribute("href") == pages.sign(
        next(key for key in pages._signed if "share/0000" in key)
    )


def test_an_open_picture_finds_its_new_address(browser: Chrome, pages: BucketPages, front: Front) -> None:
    """In the lightbox too, a picture whose address died is loaded from a new one."""
    run_first(browser, LATER)
    pages.album.add_day("2026-11-21", 9)
    pages.publish()
    browser.get(pages.open_page())
    wait_until(browser, ALL_LOADED)
    old = {address.removeprefix(front.endpoint) for address in pages._signed.values()}
    pages.renew()
    pages.publish()
    front.refuse = lambda path: (403, HAS_EXPIRED) if path in old else None
    ask_page(browser, "window.ahead = 3600 * 1000")
    open_tile(browser, 0)
    for _ in range(8):
        press(browser, Keys.ARROW_RIGHT)
        wait_for_picture(browser)
    assert text_of(browser, "#position") == "9 / 9"
    assert front.count("gallery.json") == 2


def test_dead_pictures_are_admitted(browser: Chrome, pages: BucketPages, front: Front) -> None:
    """Where there is no newer address the page asks once, names the pictures, and asks no more."""
    run_first(browser, LATER + FAST_TIMERS)
    pages.album.add_day("2026-11-21", 6)
    pages.publish()
    front.refuse = lambda path: (403, HAS_EXPIRED) if "/share/" in path or "/thumbs/0003" in path else None
    browser.get(pages.open_page())
    broken = wait_for(browser, lambda _: browser.find_elements(By.CSS_SELECTOR, ".tile.broken"))
    assert [tile.text for tile in broken] == ["IMG_0003.JPG"]
    ask_page(browser, "window.ahead = 3600 * 1000")
    browser.find_elements(By.CSS_SELECTOR, ".tile a")[3].click()
    wait_until(browser, "!document.querySelector('#broken').hidden")
    assert text_of(browser, "#broken") == "This picture could not be loaded."
    assert front.count("gallery.json") == 2
    assert ask_page(browser, "window.timers.size") == 0


def test_downloads(browser: Chrome, pages: BucketPages, tmp_path: Path) -> None:
    """The shared picture, the original and all pictures in one file can be had, each under its name."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("IMG_0000.jpg", b"x" * 12_300)
    pages.album.add_day("2026-11-21", 2)
    pages.originals = True
    pages.put_archive(content.getvalue())
    pages.publish()
    files = tmp_path / "downloads"
    files.mkdir()
    behaviour = {"behavior": "allow", "downloadPath": str(files)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    resize(browser, 360, 740)
    browser.get(pages.open_page())
    wait_until(browser, ALL_LOADED)
    assert browser.find_element(By.ID, "archive").text == "Download all, 12 kB"
    browser.find_element(By.ID, "archive").click()
    wait_for(browser, lambda _: (files / "share.zip").exists())
    assert (files / "share.zip").read_bytes() == content.getvalue()
    open_tile(browser, 0)
    assert browser.find_element(By.ID, "original").accessible_name == "Download the original"
    browser.find_element(By.ID, "original").click()
    wait_for(browser, lambda _: (files / "IMG_0000.JPG").exists())
    assert (files / "IMG_0000.JPG").read_bytes() == b"the original of IMG_0000.JPG"
    browser.find_element(By.ID, "download").click()
    wait_for(browser, lambda _: list(files.glob("0000*.jpg")))
    assert ask_page(browser, "document.querySelector('#lightbox').scrollWidth") <= 360
    press(browser, Keys.ARROW_RIGHT)
    assert b"IMG_0001".hex() in str(browser.find_element(By.ID, "original").get_attribute("href"))


def test_no_original_no_control(browser: Chrome, pages: BucketPages) -> None:
    """Where viewers may not have originals there is no control for them."""
    pages.album.add_day("2026-11-21", 1)
    pages.publish()
    browser.get(pages.open_page())
    wait_until(browser, ALL_LOADED)
    open_tile(browser, 0)
    assert browser.find_element(By.ID, "download").is_displayed()
    assert not browser.find_element(By.ID, "original").is_displayed()


def test_a_thousand_long_addresses(browser: Chrome, album: Album) -> None:
    """With session tokens in 3,000 addresses only what is near the window is in the page and asked for."""
    base = album.add_picture("IMG.JPG", None)
    with serve_moto() as store, Front(store.address) as front:
        pages = BucketPages(store, album, front.endpoint, more_query="&X-Amz-Security-Token=" + "x" * 1300)
        pages.publish()
        album.items += [
            replace(base, name=f"X{number}", share=f"share/{number}.jpg", thumb=f"thumbs/{number}.jpg")
            for number in range(999)
        ]
        pages.publish_list()
        browser.get(pages.open_page())
        wait_until(browser, COMPLETE)
        assert text_of(browser, "#status") == "1,000 pictures, complete"
        wait_until(browser, "document.querySelector(`.tile a[title='IMG.JPG'] img`).naturalWidth > 0")
        assert len(tile_names(browser)) < 150
        assert front.count("thumbs/") < 150


def test_a_public_gallery_uses_addresses_below_the_page(browser: Chrome, album: Album, site: Site) -> None:
    """Behind a CDN the page asks for the list beside it, whose pictures lie below it."""
    album.add_day("2026-11-21", 3)
    album.publish()
    page = album.folder / "index.html"
    page.write_bytes(render_index(album.gallery(), "gallery.json"))
    browser.get(site.url)
    wait_until(browser, COMPLETE)
    wait_until(browser, ALL_LOADED)
    open_tile(browser, 1)
    assert site.asked.count("/gallery.json") == 1
    assert read_complaints(browser) == []
