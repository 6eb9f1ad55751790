"""Take the pictures of the documentation: python tests/browser/screenshots.py docs/images."""

import base64
import io
import sys
import tempfile
from pathlib import Path

from browser.albums import Album
from browser.conftest import start_browser
from browser.looking import open_tile, resize, wait_until
from PIL import Image
from selenium.webdriver import Chrome

from ghostroll.model import Kind, Publication

WIDE, TALL, FILM, SQUARE, LONG = (1500, 1000), (667, 1000), (1500, 844), (1000, 1000), (1800, 750)
SHAPES = (WIDE, TALL, WIDE, FILM, SQUARE, WIDE, WIDE, (750, 1000), LONG, WIDE, WIDE, TALL)
IN_VIEW = """[...document.images].filter((image) => image.getBoundingClientRect().top < innerHeight)
  .every((image) => image.complete) && document.getAnimations().length === 0"""


def make_album(folder: Path) -> Album:
    """A session of three days that is still growing."""
    album = Album(folder, shapes=SHAPES)
    for number in range(26):
        day, hour = 20 + (number + 2) // 11, 7 + (number + 2) % 11
        clip = number == 8
        name = f"MVI_{4180 + number}.MP4" if clip else f"IMG_{4180 + number}.CR3"
        taken = f"2026-11-{day}T{hour:02}:{number * 17 % 60:02}:{number * 29 % 60:02}"
        album.add_picture(name, taken, Kind.VIDEO if clip else Kind.RAW)
    album.publish(Publication.LIVE, 40)
    return album


def shoot(
    browser: Chrome, url: str, size: tuple[int, int], mode: str, tile: int | None = None
) -> Image.Image:
    """What a window shows, with one picture open where `tile` is given."""
    resize(browser, *size)
    scheme = [{"name": "prefers-color-scheme", "value": mode}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    browser.get(url)
    wait_until(browser, IN_VIEW)
    if tile is not None:
        open_tile(browser, tile)
        wait_until(browser, IN_VIEW)
    picture = browser.execute_cdp_cmd("Page.captureScreenshot", {})["data"]
    return Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")


def join_side_by_side(pictures: list[Image.Image], gap: int) -> Image.Image:
    """Pictures of one size in a row, on white."""
    width, height = pictures[0].size
    joined = Image.new("RGB", (len(pictures) * (width + gap) - gap, height), "white")
    for number, picture in enumerate(pictures):
        joined.paste(picture, (number * (width + gap), 0))
    return joined


def main(target: Path) -> None:
    """Write gallery.png and gallery-phone.png, each below 200 kB."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        place, profile = Path(folder, "session"), Path(folder, "profile")
        place.mkdir()
        url = make_album(place).file_url
        browser = start_browser(profile)
        try:
            wide = shoot(browser, url, (1280, 800), "light")
            phones = [shoot(browser, url, (360, 740), mode) for mode in ("light", "dark")]
            phones.append(shoot(browser, url, (360, 740), "dark", tile=0))
        finally:
            browser.quit()
    for name, picture in (("gallery", wide), ("gallery-phone", join_side_by_side(phones, 24))):
        palette = picture.quantize(256, kmeans=3)
        few = picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
        few.save(target / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
