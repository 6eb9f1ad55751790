"""Galleries of real pictures for the page to show."""

from dataclasses import dataclass, field
from pathlib import Path

from browser.landscapes import draw_landscape

from ghostroll.model import Gallery, GalleryFailure, GalleryItem, Kind, Publication
from ghostroll.publish.folder import publish_to_folder
from ghostroll.publish.gallery import order_items, relative_url

SHAPES = ((600, 400), (400, 600), (600, 338), (500, 500), (900, 300))  # of share pictures, in pixels


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
        publish_to_folder(str(self.folder), self.gallery(state, total))

    def gallery(self, state: Publication = Publication.COMPLETE, total: int | None = None) -> Gallery:
        """All pictures so far."""
        count = len(self.items) if total is None else total
        return Gallery(self.session, state, count, order_items(self.items), tuple(self.failed))

    @property
    def file_url(self) -> str:
        """The page's address on the disk."""
        return (self.folder / "index.html").as_uri()
