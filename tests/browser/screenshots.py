"""Take the pictures of the documentation: python tests/browser/screenshots.py docs/images."""

import base64
import io
import sys
import tempfile
from pathlib import Path

from browser.albums import Album
from browser.bucket_pages import BucketPages, Front
from browser.conftest import start_browser
from browser.looking import open_tile, press, resize, wait_until
from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys
from stores import serve_rclone

from ghostroll.model import Kind, Publication

WIDE, TALL, FILM, SQUARE, LONG = (1500, 1000), (667, 1000), (1500, 844), (1000, 1000), (1800, 750)
SHAPES = (WIDE, TALL, WIDE, FILM, SQUARE, WIDE, WIDE, (750, 1000), LONG, WIDE, WIDE, TALL)
PHONE, DESK = (360, 740), (1280, 800)
IN_VIEW = """document.querySelectorAll('.tile').length && [...document.images]
  .filter((image) => image.src && image.getBoundingClientRect().top < innerHeight)
  .every((image) => image.complete)"""
EXPIRED = "document.body.dataset.state === 'expired'"


def fill_album(album: Album) -> None:
    """Pictures of three days."""
    for number in range(26):
        day, hour = 20 + (number + 2) // 11, 7 + (number + 2) % 11
        clip = number == 8
        name = f"MVI_{4180 + number}.MP4" if clip else f"IMG_{4180 + number}.CR3"
        taken = f"2026-11-{day}T{hour:02}:{number * 17 % 60:02}:{number * 29 % 60:02}"
        album.add_picture(name, taken, Kind.VIDEO if clip else Kind.RAW)


def dress(browser: Chrome, size: tuple[int, int], mode: str) -> None:
    """A window of this size, light or dark, without the scroll bar's place and without motion."""
    resize(browser, *size)
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = {"prefers-color-scheme": mode, "prefers-reduced-motion": "reduce"}
    media = [{"name": name, "value": value} for name, value in features.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})


def shoot(browser: Chrome) -> Image.Image:
    """What the window shows."""
    picture = browser.execute_cdp_cmd("Page.captureScreenshot", {})["data"]
    return Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")


def shoot_all(browser: Chrome, pages: BucketPages, front: Front) -> dict[str, list[Image.Image]]:
    """A gallery from before its first picture until its link has expired."""
    pages.publish(Publication.LIVE, 40)
    link = pages.open_page()
    dress(browser, PHONE, "light")
    browser.get(link)
    wait_until(browser, "document.querySelector('#status').textContent.startsWith('The first')")
    phones = [shoot(browser)]
    fill_album(pages.album)
    pages.publish(Publication.LIVE, 40)
    wait_until(browser, IN_VIEW)
    phones.append(shoot(browser))
    dress(browser, PHONE, "dark")
    open_tile(browser, 0)
    phones.append(shoot(browser))
    pages.put_archive(b"zip")
    pages.archive_bytes = 13_900_000
    pages.publish()
    dress(browser, DESK, "light")
    browser.get(link)
    wait_until(browser, IN_VIEW)
    desk = shoot(browser)
    open_tile(browser, 4)
    lightbox = shoot(browser)
    press(browser, Keys.ESCAPE)
    front.refuse = lambda path: (403, "Request has expired") if "gallery.json" in path else None
    dress(browser, PHONE, "light")
    browser.get(link)
    wait_until(browser, EXPIRED)
    ended = [shoot(browser)]
    front.refuse = lambda _: None
    pages.publish(Publication.LIVE, 40)
    browser.get(link)
    wait_until(browser, IN_VIEW)
    front.refuse = lambda path: (403, "Request has expired") if "gallery.json" in path else None
    wait_until(browser, EXPIRED)
    browser.execute_script("scrollTo(0, 560)")
    wait_until(browser, IN_VIEW)
    ended.append(shoot(browser))
    return {
        "gallery": [desk],
        "gallery-phone": phones,
        "gallery-lightbox": [lightbox],
        "gallery-expired": ended,
    }


def join_side_by_side(pictures: list[Image.Image], gap: int) -> Image.Image:
    """Pictures of one size in a row, on grey."""
    width, height = pictures[0].size
    joined = Image.new("RGB", (len(pictures) * (width + gap) - gap, height), "#8a8a87")
    for number, picture in enumerate(pictures):
        joined.paste(picture, (number * (width + gap), 0))
    return joined


def main(target: Path) -> None:
    """Write the four pictures, each below 250 kB."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        serve_rclone(Path(folder, "store")) as store,
        Front(store.address) as front,
    ):
        place = Path(folder, "session")
        place.mkdir()
        pages = BucketPages(store, Album(place, shapes=SHAPES), front.endpoint, originals=True)
        browser = start_browser(Path(folder, "profile"))
        try:
            taken = shoot_all(browser, pages, front)
        finally:
            browser.quit()
    for name, pictures in taken.items():
        picture = join_side_by_side(pictures, 24)
        palette = picture.quantize(256, kmeans=3)
        few = picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
        few.save(target / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
