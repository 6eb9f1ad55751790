"""A person with a card, a library and the real commands, for tests that walk them."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from forking import fork_command
from running import Run, check_sentence, environment

from ghostroll.demo.photos import make_photo

# As an ordinary user: root reads and writes whatever its mode says.
POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
PHOTO = "DCIM/100CANON/IMG_0002.JPG"  # one of those that `make_person` puts on a card


@dataclass
class Person:
    """Somebody at a keyboard. What a command says is a sentence, always."""

    home: Path
    card: Path
    library: Path
    env: dict[str, str]

    def run(self, *arguments: str | bytes | Path, code: int | None = 0, **more: str) -> Run:
        """Run a command to its end, which is as expected; None expects nothing."""
        run = fork_command(self.env | more, *arguments, before=POWERLESS)
        check_sentence(run)
        assert code is None or run.code == code, (run.code, run.out, run.err)
        return run

    def ingest(self, code: int = 0, **more: str) -> Run:
        """Ingest the card, for a machine to read."""
        return self.run("ingest", self.card, "--json", code=code, **more)

    @property
    def state(self) -> Path:
        """Where the state is."""
        return self.library / ".ghostroll" / "state.db"

    def find_session(self) -> Path:
        """The one session's folder."""
        (session,) = (entry for entry in self.library.iterdir() if entry.name != ".ghostroll")
        return session

    def find_original(self, name: str) -> Path:
        """Where one original is."""
        (original,) = self.library.glob(f"*/originals/*/**/{name}")
        return original


def make_person(place: Path) -> Person:
    """Somebody whose card has three photos, one of them twice, and a note."""
    person = person_at(place)
    card = person.card
    folder = card / "DCIM" / "100CANON"
    folder.mkdir(parents=True)
    for number in range(1, 4):
        write_photo(folder / f"IMG_{number:04}.JPG", number)
    write_photo(folder / "IMG_0009.JPG", 1)
    (card / "notes.txt").write_text("a note")
    return person


def person_at(place: Path) -> Person:
    """Somebody whose card and library are in this folder, or will be."""
    library = place / "library"
    return Person(place, place / "EOS_DIGITAL", library, environment(place, library))


def write_photo(place: Path, seed: int) -> None:
    """Another photo for another number."""
    place.write_bytes(
        make_photo(seed=seed, size=(160, 120), taken=datetime(2026, 11, 22, 10, seed, tzinfo=UTC))
    )


def read_gallery(person: Person) -> list[str]:
    """The names in the one session's gallery, which is complete."""
    gallery = json.loads((person.find_session() / "gallery.json").read_bytes())
    assert gallery["state"] == "complete"
    return sorted(item["name"] for item in gallery["items"])
