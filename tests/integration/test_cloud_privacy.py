"""What a run writes and says, searched for what nobody may read there: keys, tokens, links, places, names of people."""

import contextlib
import gzip
import io
import os
import re
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from clouds import fetch, find_original_key, find_page, open_cloud_person, read_gallery
from commanding import POWERLESS, Person, write_photo
from mischief import Mischief, Refusal
from running import command, wait_until
from serving import served
from stores import Store
from waiting import wait_for

from ghostroll.demo.exif import COMMENT, Camera
from ghostroll.demo.photos import make_photo

SECRET = "kept/for/nobody+to/read+000000000000000"  # noqa: S105  # made up
TOKEN = "token-of-a-session//and-nobody-else+AAAA="  # noqa: S105  # made up
# What stores put into their answers: the request that was refused, and who sent it.
TOLD = Refusal(403, "AccessDenied", "told-by-the-store AKIA0000000000000000 X-Amz-Signature=0f0f")
ITEM = {"name", "taken", "camera", "caption", "kind", "share", "thumb", "width", "height"}
GALLERY = {"version", "session", "state", "total", "items", "failed", "archive"}
SIGNED = re.compile(rb"X-Amz-(?:Signature|Credential|Security-Token)|AWS4-HMAC-SHA256", re.IGNORECASE)


@pytest.fixture
def walk(moto: Store, tmp_path: Path) -> Iterator[tuple[Person, Mischief]]:
    """Somebody with temporary keys who logs everything; what cameras and programs wrote into a photo stands in theirs."""
    with open_cloud_person(tmp_path, moto) as (person, proxy):
        person.env |= {
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": TOKEN,
            "GHOSTROLL_LOG__LEVEL": "debug",
            "GHOSTROLL_PUBLISH__ORIGINALS": "all",
        }
        photo = make_photo(seed=21, size=(160, 120), taken=datetime(2026, 11, 22, 15, tzinfo=UTC))
        folder = person.card / "DCIM" / "100CANON"
        (folder / "IMG_0021.JPG").write_bytes(photo[:2] + make_segments() + photo[2:])
        (folder / "IMG_0022.JPG").write_bytes(photo[: len(photo) // 3])
        yield person, proxy


def make_segments() -> bytes:
    """XMP and IPTC as picture programs write them."""

    def make(marker: int, content: bytes) -> bytes:
        return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content

    xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>alex@example.org 46.02072</x:xmpmeta>"
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x12\x1c\x02\x50\0\x0dAlex Example!"
    return make(0xE1, xmp) + make(0xED, iptc)


def find_token(store: Store) -> str:
    """What nobody can guess of the one gallery's address."""
    return find_page(store)[-22:]


def check_said(text: str, token: str) -> None:
    """What a person or a machine was told holds nothing that opens anything."""
    for word in (SECRET, TOKEN, token, "X-Amz", "told-by-the-store", "AKIA"):
        assert word not in text, text


def split_link(run_out: str) -> tuple[str, str]:
    """The link that a command printed, and everything else that it printed."""
    (link,) = set(re.findall(r"http://[^\s\"]+/sessions/[^\s\"]+", run_out))
    return link, run_out.replace(link, "")


def check_files(top: Path, token: str, told: Mapping[str, str]) -> None:
    """No file holds a key or a token; a link stands in the two files for it, and its folder's name in the ledger alone."""
    links = {"link.txt", "link.png"}
    seen = 0
    for path in top.rglob("*"):
        if not path.is_file() or path.is_symlink():
            continue
        seen += 1
        content = path.read_bytes()
        for word in (SECRET, TOKEN, "told-by-the-store", told["AWS_ACCESS_KEY_ID"]):
            assert word.encode() not in content or path.name in links, path
        assert SECRET.encode() not in content, path
        if path.name not in links:
            assert not SIGNED.search(content), path
            assert token.encode() not in content or path.name.startswith("state.db"), path
    assert seen > 20


def check_ledger(state: Path, token: str) -> None:
    """Of all that the ledger holds, the folder of the gallery alone tells where it is."""
    with contextlib.closing(sqlite3.connect(state)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        db.row_factory = sqlite3.Row
        holding = {
            (table, column)
            for table in tables
            for row in db.execute(f"SELECT * FROM {table}")  # noqa: S608  # names from the schema
            for column in row.keys()  # noqa: SIM118  # a Row iterates over values
            if token in str(row[column])
        }
    assert holding == {("gallery", "folder")}


def list_reports(person: Person) -> str:
    """Everything that commands tell of a job and of everything."""
    asked = [
        ("show", "1"),
        ("show", "1", "--files", "--json"),
        ("status",),
        ("status", "--json"),
        ("jobs", "--json"),
    ]
    runs = [person.run(*words) for words in asked]
    return "".join(run.out + run.err for run in runs)


def test_daemon_in_trouble_tells_nothing(walk: tuple[Person, Mischief], moto: Store, tmp_path: Path) -> None:
    """With a store that refuses, fails and recovers, neither log, status, reports nor any file holds a secret."""
    person, proxy = walk
    proxy.refuse(TOLD, operation="PutObject", key="*/thumbs/*")
    proxy.refuse(TOLD, operation="PutObject", key="originals/*")
    with served(person) as daemon:
        failed = person.run("ingest", person.card, code=6)
        token = find_token(moto)
        reports = list_reports(person)
        assert "may not be written to" in reports
        snapshot = "".join(path.read_text() for path in daemon.runtime.glob("*.json"))
        assert "may not be written to" in snapshot
        proxy.relent()
        published = person.run("publish", "1")
        linked = person.run("link", "1", "--json")
        wait_until(lambda: "safe to format" in daemon.log)
        reports += list_reports(person)
        snapshot += "".join(path.read_text() for path in daemon.runtime.glob("*.json"))
        assert "DEBUG" in daemon.log.upper()
        check_said(daemon.log + reports + snapshot, token)
        check_files(tmp_path, token, person.env)
    for run in (failed, published, linked):
        assert token in run.out
        check_said(run.err + split_link(run.out)[1], token)
    check_said(daemon.log, token)
    check_files(tmp_path, token, person.env)
    check_ledger(person.state, token)


def test_command_tells_only_the_link(walk: tuple[Person, Mischief], moto: Store, tmp_path: Path) -> None:
    """A command's stderr holds no link at any level; its stdout holds the link and no other address."""
    person, proxy = walk
    proxy.refuse(Refusal(500, "InternalError", TOLD.message), operation="PutObject", times=3)
    run = person.run("ingest", person.card, code=3, GHOSTROLL_LOG__FORMAT="json")
    token = find_token(moto)
    link, rest = split_link(run.out)
    check_said(rest + run.err, token)
    assert fetch(link).status == 200
    check_files(tmp_path, token, person.env)


SABOTAGE = """
import sys
from {module} import {owner}
def broken(*arguments, **more):
    raise RuntimeError("a bug")
{owner}.{name} = broken
from ghostroll.cli.app import main
sys.argv[0] = "ghostroll"
main()
"""


@pytest.mark.parametrize(
    "place",
    [
        "ghostroll.station posting write_link",
        "ghostroll.publish.s3 signing public_address",
        "botocore.auth SigV4Auth add_auth",
    ],
)
def test_traceback_tells_nothing(place: str, walk: tuple[Person, Mischief], tmp_path: Path) -> None:
    """A bug anywhere on the way of a link shows a traceback, and in it no key, no token and no address."""
    person, _ = walk
    module, owner, name = place.split()
    if name == "public_address":
        person.env |= {"GHOSTROLL_PUBLISH__S3__BASE_URL": "https://photos.example.org/all"}
    code = SABOTAGE.format(module=module, owner=owner, name=name)
    done = subprocess.run(
        [*POWERLESS, sys.executable, "-c", code, "ingest", person.card],
        env=person.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" in done.stderr
    assert "RuntimeError: a bug" in done.stderr
    said = done.stdout + done.stderr
    for word in (SECRET, TOKEN, "X-Amz", "AKIA"):
        assert word not in said, said
    assert "/sessions/" not in said, said
    check_files(tmp_path, "no link was made", person.env)


def test_token_that_no_header_can_hold(walk: tuple[Person, Mischief]) -> None:
    """A token with a line end in it, which http.client quotes when it refuses it, is not repeated."""
    person, _ = walk
    broken = "first-line-of-a-token\nsecond-line"
    log = person.home / "log"
    env = person.env | {"AWS_SESSION_TOKEN": broken}
    with log.open("wb") as stderr:
        process = subprocess.Popen(command("ingest", person.card), env=env, stdout=stderr, stderr=stderr)
        wait_for(lambda: "waiting: " in log.read_text(), "nothing is said")
        process.terminate()
        process.wait(60)
    for word in ("first-line", "second-line", SECRET):
        assert word not in log.read_text()


def test_gallery_says_what_a_viewer_needs(walk: tuple[Person, Mischief], moto: Store) -> None:
    """gallery.json and the page hold names, times, cameras and addresses, and nothing of places, owners or folders."""
    person, _ = walk
    person.ingest(code=3)
    gallery = read_gallery(moto)
    assert set(gallery) == GALLERY
    assert [set(item) for item in gallery["items"]] == [ITEM] * 4
    assert [failure["name"] for failure in gallery["failed"]] == ["IMG_0022.JPG"]
    page = find_page(moto)
    index = gzip.decompress(moto.read(f"{page}/index.html")).decode()
    camera = Camera()
    private = [camera.serial, camera.lens_serial, camera.owner, COMMENT, "alex@example.org", "46.0", "7.749"]
    places = [str(person.library), str(person.card), str(person.home), "100CANON", "DCIM", ".ghostroll"]
    for text in (str(gallery), index):
        for word in (*private, *places, SECRET, "originals/", os.uname().nodename):
            assert word not in text, word
    assert "IMG_" not in index
    assert index.count("X-Amz-Signature") == 1, "the page holds one address: that of gallery.json"


def list_segments(jpeg: bytes) -> list[int]:
    """The markers of a JPEG up to its picture data (ITU-T T.81, B.1.1.3)."""
    markers, at = [], 2
    while jpeg[at] == 0xFF and jpeg[at + 1] != 0xDA:
        markers.append(jpeg[at + 1])
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return markers


def test_renditions_are_bare(walk: tuple[Person, Mischief], moto: Store) -> None:
    """No picture in the bucket, alone or in the archive, has EXIF, XMP, IPTC or a comment; objects have no metadata either."""
    person, _ = walk
    person.ingest(code=3)
    page = find_page(moto)
    with zipfile.ZipFile(io.BytesIO(moto.read(f"{page}/share.zip"))) as archive:
        pictures = [archive.read(name) for name in archive.namelist()]
    pictures += [moto.read(key) for key in moto.list_keys(f"{page}/") if key.endswith(".jpg")]
    assert len(pictures) == 12
    for jpeg in pictures:
        application = {marker for marker in list_segments(jpeg) if 0xE0 <= marker <= 0xEF or marker == 0xFE}
        assert application <= {0xE0}, [hex(marker) for marker in application]
        assert b"Exif" not in jpeg
        assert b"Photoshop" not in jpeg
    for key in moto.list_keys():
        head = moto.client().head_object(Bucket=moto.bucket, Key=key)
        assert head["Metadata"] == {}
        acl = moto.client().get_object_acl(Bucket=moto.bucket, Key=key)
        assert not [grant for grant in acl["Grants"] if "URI" in grant["Grantee"]]


@pytest.mark.parametrize("shown", [True, False])
def test_originals_for_viewers(shown: bool, walk: tuple[Person, Mischief], moto: Store) -> None:
    """An original's address stands in gallery.json where viewers may have it, and then it downloads under its camera's name."""
    person, _ = walk
    write_photo(person.card / "DCIM" / "100CANON" / "Ä 'b\".JPG", 31)
    person.env["GHOSTROLL_PUBLISH__VIEWER_ORIGINALS"] = str(shown).lower()
    person.ingest(code=3)
    gallery = read_gallery(moto)
    assert len(gallery["items"]) == 5
    if not shown:
        assert "originals/" not in str(gallery)
        return
    for item in gallery["items"]:
        (path,) = person.card.rglob(item["name"])
        assert f"/{find_original_key(path)}?" in item["original"]
        found = fetch(item["original"])
        assert found.content == path.read_bytes()
        disposition = found.headers["content-disposition"]
        assert disposition.startswith("attachment; filename=")
        assert path.name in disposition or "filename*=UTF-8''%C3%84%20%27b%22.JPG" in disposition
