"""`ghostroll link` and `publish` with a bucket: a new link each time, in the session's folder too, or a sentence why not."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from codes import decode, run_on_terminal, scan
from commanding import POWERLESS, Person, make_person
from PIL import Image
from running import command
from serving import served
from stores import Store, serve_moto

from ghostroll.state.owner import Ownership

KEYS = {
    *("job", "session", "publication", "index", "session_dir"),
    *("target", "link", "expires", "expires_assumed", "public"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Store]:
    """One store for all."""
    with serve_moto() as store:
        yield store


@pytest.fixture
def store(server: Store) -> Store:
    """A bucket for each test."""
    return server.with_new_bucket()


@pytest.fixture
def person(tmp_path: Path, store: Store) -> Person:
    """Somebody whose galleries go to a bucket."""
    person = make_person(tmp_path)
    person.env |= store.settings | {"TZ": "UTC"}
    return person


def read_files(person: Person) -> tuple[str, str]:
    """The link in a session's text, and the one in its picture."""
    session = person.find_session()
    with Image.open(session / "link.png") as image:
        (code,) = decode(image)
    return (session / "link.txt").read_text().splitlines()[0], code


def fetch(link: str) -> bytes:
    """What a link leads to."""
    parts = urlsplit(link)
    connection = HTTPConnection(parts.netloc)
    connection.request("GET", f"{parts.path}?{parts.query}")
    with connection.getresponse() as response:
        assert response.status == 200
        content = response.read()
    connection.close()
    return content


def find_page(store: Store) -> str:
    """The key of the one page."""
    (page,) = (key for key in store.list_keys("sessions/") if key.endswith("/index.html"))
    return page


def test_an_ingest_ends_with_the_link(person: Person, store: Store) -> None:
    """The end of an ingest shows the link whole, on stdout alone; it stands in the session's folder, and leads to the page."""
    run = person.run("ingest", person.card)
    (link,) = (line for line in run.out.splitlines() if line.startswith("http"))
    assert (link, link) == read_files(person)
    assert "X-Amz" not in run.err
    assert fetch(link) == store.read(find_page(store))
    assert "uploaded 4 files" in run.out  # three pictures and their archive


def test_an_ingest_on_a_terminal(person: Person) -> None:
    """On a terminal the uploads have a bar of their own, and the link stays in one piece however narrow it is."""
    env = person.env | {"TERM": "xterm-256color"}
    shown = run_on_terminal([*POWERLESS, *command("ingest", person.card)], env, (60, 24))
    assert "upload   " in shown
    assert "4 of 4" in shown
    assert read_files(person)[0] in shown.splitlines()


@pytest.mark.parametrize("beside", [False, True])
def test_a_new_link(person: Person, store: Store, *, beside: bool) -> None:
    """`link` puts the page up again and says until when its new link works; with a daemon and without one."""
    person.ingest()
    page = find_page(store)
    store.client().put_object(Bucket=store.bucket, Key=page, Body=b"broken")
    for path in ("link.txt", "link.png"):
        (person.find_session() / path).unlink()
    if beside:
        with served(person) as daemon:
            run = person.run("link", "1", "--json")
            assert "X-Amz" not in daemon.log
    else:
        run = person.run("link", "1", "--json")
    document = run.document
    assert document.keys() == KEYS
    assert (document["target"], document["public"], document["publication"]) == ("s3", False, "complete")
    assert document["session_dir"] == str(person.find_session())
    left = datetime.fromisoformat(document["expires"]) - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)
    assert (document["link"], document["link"]) == read_files(person)
    assert fetch(document["link"]) == store.read(page) != b"broken"
    assert "X-Amz" not in run.err


def test_a_link_on_a_terminal(person: Person) -> None:
    """Where the terminal has room the code is shown, and a phone that looks at it has the link."""
    person.ingest()
    env = person.env | {"TERM": "xterm-256color"}
    shown = run_on_terminal([*POWERLESS, *command("link", "1")], env, (100, 60))
    link, *_ = shown.splitlines()
    assert scan(shown) == [link] == [read_files(person)[0]]
    assert "works until " in shown
    assert " (7 days); anybody who has it sees the pictures" in shown


def test_a_gallery_that_waits(person: Person, store: Store) -> None:
    """Where publishing is not automatic there is no link before `publish`, and from then on there is."""
    person.env["GHOSTROLL_PUBLISH__AUTO"] = "false"
    assert person.ingest().document["link"] is None
    assert store.list_keys() == []
    run = person.run("link", "1", code=2)
    assert run.err == "ghostroll: job 1 is not published yet: 'ghostroll publish 1' does it\n"
    assert run.out == ""
    published = person.run("publish", "1").out
    assert published.startswith("http")
    assert "gallery  complete\n" in published
    assert len(store.list_keys()) == 9  # a page, its list, two sizes of three pictures, their archive
    assert person.run("link", "1").out.startswith("http")


def test_without_credentials(person: Person) -> None:
    """Where there are no keys any more there is no new link but a sentence, exit code 6; the old one stays in the folder."""
    person.ingest()
    before = read_files(person)
    run = person.run("link", "1", code=6, AWS_SECRET_ACCESS_KEY="", AWS_ACCESS_KEY_ID="")
    assert run.out == ""
    assert run.err.count("\n") == 1
    assert "credentials" in run.err
    assert read_files(person) == before


def test_another_bucket(person: Person, server: Store) -> None:
    """In a bucket that was configured afterwards nothing of an older session is published yet."""
    person.ingest()
    person.env["GHOSTROLL_PUBLISH__S3__BUCKET"] = server.with_new_bucket().bucket
    assert "is not published yet" in person.run("link", "1", code=2).err
    assert person.run("publish", "1").out.startswith("http")


def test_a_store_that_went_away(tmp_path: Path) -> None:
    """A store that is not there any more costs a sentence and exit code 6, with `link` and with `publish`."""
    person = make_person(tmp_path)
    with serve_moto() as store:
        person.env |= store.settings
        person.ingest()
    before = read_files(person)
    for name in ("link", "publish"):
        run = person.run(name, "1", code=6)
        assert run.out == ""
        assert "refuses connections" in run.err.splitlines()[-1]  # before it, how far it was
        assert "X-Amz" not in run.err
    assert read_files(person) == before


def test_a_link_beside_another_command(person: Person) -> None:
    """While another command holds the state, `link` tells the link that there is."""
    person.ingest()
    owner = Ownership.take(str(person.state), command="ingest elsewhere")
    try:
        assert person.run("link", "1").out.splitlines()[0] == read_files(person)[0]
    finally:
        owner.release()


def test_links_are_for_the_folders_readers(person: Person) -> None:
    """Nobody but the owner and the folder's group reads a link from the disk."""
    person.ingest()
    modes = {os.stat(person.find_session() / name).st_mode & 0o777 for name in ("link.txt", "link.png")}
    assert modes <= {0o640, 0o600}
