"""The gallery page while pictures still come."""

import os
from dataclasses import replace

import pytest
from browser.albums import Album
from browser.conftest import Site
from browser.looking import (
    FAST_TIMERS,
    ask_page,
    open_tile,
    press,
    read_complaints,
    resize,
    run_first,
    text_of,
    tile_names,
    wait_for,
    wait_until,
)
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from ghostroll.model import GalleryFailure, Publication

QUIET = "window.timers.size === 0"
TOP_OF = "document.querySelector(`.tile a[title='${arguments[0]}']`)?.getBoundingClientRect().top"


def place_album(album: Album, site_or_file: str, browser: Chrome) -> None:
    """Open a live gallery of two days, scrolled into the second."""
    album.add_day("2026-11-21", 12)
    album.add_day("2026-11-23", 24)
    album.publish(Publication.LIVE, 60)
    run_first(browser, FAST_TIMERS)
    resize(browser, 360, 740)
    browser.get(site_or_file)
    ask_page(browser, "document.querySelectorAll('section')[1].scrollIntoView()")
    wait_until(browser, f"{TOP_OF} > 0 && {TOP_OF} < 300", "IMG_0012.JPG")


def test_grows_over_http_where_it_is(browser: Chrome, album: Album, site: Site) -> None:
    """New pictures take their place in order; the page isn't loaded again and nothing in view moves."""
    place_album(album, site.url, browser)
    ask_page(browser, "window.mark = 1")
    before = ask_page(browser, TOP_OF, "IMG_0012.JPG")
    album.add_day("2026-11-22", 9)
    album.failed.append(GalleryFailure("IMG_9999.JPG", "is truncated"))
    album.publish(Publication.LIVE, 60)
    wait_until(browser, "document.querySelector('#status').textContent.startsWith('45 of 60')")
    assert ask_page(browser, TOP_OF, "IMG_0012.JPG") == pytest.approx(before, abs=1)
    assert ask_page(browser, "window.mark") == 1
    days = [heading.text.split("\n")[0] for heading in browser.find_elements(By.TAG_NAME, "h2")]
    assert days == ["Saturday, 21 November 2026", "Sunday, 22 November 2026", "Monday, 23 November 2026"]
    assert text_of(browser, "#span") == "21–23 November 2026"  # noqa: RUF001  # a range
    assert text_of(browser, "summary") == "1 file could not be shown"
    ask_page(browser, "document.querySelectorAll('section')[1].scrollIntoView()")
    wait_for(
        browser, lambda _: {f"IMG_{number:04}.JPG" for number in range(36, 45)} <= set(tile_names(browser))
    )
    assert read_complaints(browser) == []


def test_an_open_picture_stays_open_while_it_grows(browser: Chrome, album: Album, site: Site) -> None:
    """The open picture stays; only its number among all changes, and the next one is a new one."""
    place_album(album, site.url, browser)
    open_tile(browser, tile_names(browser).index("IMG_0012.JPG"))
    assert text_of(browser, "#position") == "13 / 36"
    album.add_day("2026-11-22", 4)
    album.publish(Publication.LIVE, 60)
    wait_until(browser, "document.querySelector('#position').textContent === '17 / 40'")
    assert text_of(browser, "#picture-name") == "IMG_0012.JPG"
    press(browser, Keys.ARROW_LEFT)
    assert text_of(browser, "#picture-name") == "IMG_0039.JPG"
    press(browser, Keys.ESCAPE)
    wait_until(browser, "document.activeElement.title === 'IMG_0039.JPG'")


def test_complete_asks_no_more(browser: Chrome, album: Album, site: Site) -> None:
    """Once the gallery is complete the page says so, and no timer and no request is left."""
    place_album(album, site.url, browser)
    wait_for(browser, lambda _: "/gallery.json" in site.asked)
    album.publish(Publication.COMPLETE)
    wait_until(browser, "document.body.dataset.state === 'complete'")
    assert text_of(browser, "#status") == "36 pictures, complete"
    assert not browser.find_element(By.ID, "progress").is_displayed()
    wait_until(browser, QUIET)
    assert ask_page(browser, "window.timers.size") == 0


def test_complete_from_the_start_never_asks(browser: Chrome, album: Album, site: Site) -> None:
    """A gallery that was complete when it was opened asks for nothing but its pictures."""
    album.add_day("2026-11-21", 2)
    album.publish()
    run_first(browser, FAST_TIMERS)
    browser.get(site.url)
    wait_for(browser, lambda _: sum("thumbs" in path for path in site.asked) == 2)
    assert ask_page(browser, "window.timers.size") == 0
    assert "/gallery.json" not in site.asked


def test_sees_a_change_that_kept_its_time(browser: Chrome, album: Album, site: Site) -> None:
    """A server that knows changes only by the second can't hide the last one for ever."""
    place_album(album, site.url, browser)
    page = album.folder / "gallery.json"
    wait_for(browser, lambda _: "/gallery.json" in site.asked)
    elsewhere = album.folder / "elsewhere"
    elsewhere.mkdir()
    replace(album, folder=elsewhere).publish()
    changed = elsewhere / "gallery.json"
    os.utime(changed, ns=(page.stat().st_mtime_ns,) * 2)
    changed.rename(page)
    wait_until(browser, "document.body.dataset.state === 'complete'")


def test_survives_a_server_that_fails(browser: Chrome, album: Album, site: Site) -> None:
    """While gallery.json is gone or broken the page says that it tries again, and then goes on."""
    place_album(album, site.url, browser)
    page = album.folder / "gallery.json"
    page.unlink()
    wait_until(browser, "document.querySelector('#notice').textContent.includes('No connection')")
    page.write_text('{"version": 1, "items": "no')
    album.add_day("2026-11-24", 1)
    album.publish(Publication.LIVE, 60)
    wait_until(browser, "document.querySelector('#status').textContent.startsWith('37 of 60')")
    assert not browser.find_element(By.ID, "notice").is_displayed()


def test_a_page_nobody_sees_does_not_ask(browser: Chrome, album: Album, site: Site) -> None:
    """A page in the background asks for nothing, and asks at once when it is looked at again."""
    album.add_day("2026-11-21", 2)
    album.publish(Publication.LIVE, 3)
    run_first(browser, FAST_TIMERS)
    run_first(browser, "Object.defineProperty(document, 'hidden', {get: () => !window.seen})")
    browser.get(site.url)
    wait_until(browser, QUIET)
    assert "/gallery.json" not in site.asked
    album.publish()
    ask_page(browser, "(window.seen = true, document.dispatchEvent(new Event('visibilitychange')))")
    wait_until(browser, "document.body.dataset.state === 'complete'")


def test_grows_from_a_disk_by_loading_itself_again(browser: Chrome, album: Album) -> None:
    """From file:// the page loads itself again, and comes back to its place, focus and open list."""
    album.failed.append(GalleryFailure("IMG_9999.JPG", "is truncated"))
    place_album(album, album.file_url, browser)
    ask_page(browser, "document.querySelector('#failed').open = true")
    name = "IMG_0012.JPG"
    ask_page(
        browser,
        "document.querySelector(`.tile a[title='${arguments[0]}']`).focus({preventScroll: true})",
        name,
    )
    before = ask_page(browser, TOP_OF, name)
    album.add_day("2026-11-22", 9)
    album.publish(Publication.LIVE, 60)
    wait_until(browser, "document.querySelector('#status').textContent.startsWith('45 of 60')")
    assert ask_page(browser, TOP_OF, name) == pytest.approx(before, abs=1)
    assert ask_page(browser, "document.activeElement.title") == name
    assert ask_page(browser, "document.querySelector('#failed').open")
    album.publish()
    wait_until(browser, "document.body.dataset.state === 'complete'")
    assert ask_page(browser, "window.timers.size") == 0
    assert read_complaints(browser) == []


def test_does_not_reload_from_under_an_open_picture(browser: Chrome, album: Album) -> None:
    """From file:// the page waits with loading itself again until the lightbox is closed."""
    place_album(album, album.file_url, browser)
    open_tile(browser, tile_names(browser).index("IMG_0012.JPG"))
    ask_page(browser, "(window.mark = 1, window.tried = 0)")
    count_tries = """
      const wrapped = window.setTimeout;
      window.setTimeout = (act, delay) => { window.tried += 1; return wrapped(act, delay); };
    """
    browser.execute_script(count_tries)
    album.publish()
    wait_until(browser, "window.tried > 80")  # of one second each, twenty times as fast
    assert ask_page(browser, "window.mark") == 1
    press(browser, Keys.ESCAPE)
    wait_until(browser, "document.body.dataset.state === 'complete'")
