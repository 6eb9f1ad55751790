"""The folder target: both files replaced as a whole, and durable."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ghostroll.model import Gallery, GalleryItem, Kind, Publication
from ghostroll.publish.folder import publish_to_folder
from ghostroll.publish.gallery import build_gallery_json, render_index

POINTS = ("publish.file_written", "publish.file_synced", "publish.file_renamed", "publish.folder_synced")
ITEM = GalleryItem("IMG_1.JPG", None, None, "", Kind.JPEG, "share/1.jpg", "thumbs/1.jpg", 3, 2)


def make_gallery(count: int) -> Gallery:
    items = tuple(replace(ITEM, name=f"IMG_{number}.JPG") for number in range(count))
    return Gallery("session", Publication.LIVE, count, items, ())


def publish_in_child(folder: Path, count: int, **environment: str) -> int:
    """Publish in a process of its own, which a crash point may kill. Its return code."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[3]); from test_folder_target import *;"
        "publish_to_folder(sys.argv[1], make_gallery(int(sys.argv[2])))"
    )
    arguments = [sys.executable, "-c", code, str(folder), str(count), str(Path(__file__).parent)]
    return subprocess.run(arguments, env=os.environ | environment, check=False).returncode


@pytest.mark.parametrize("as_bytes", [False, True])
def test_writes_page_and_json(tmp_path: Path, as_bytes: bool) -> None:
    """Both files are there, whole and readable for others, and nothing else."""
    folder = tmp_path / "2026-11-22_143015-EOS_DIGITAL-k3f7"
    folder.mkdir()
    publish_to_folder(os.fsencode(folder) if as_bytes else str(folder), make_gallery(3))
    assert sorted(os.listdir(folder)) == ["gallery.json", "index.html"]
    assert (folder / "gallery.json").read_bytes() == build_gallery_json(make_gallery(3))
    assert (folder / "index.html").read_bytes() == render_index(make_gallery(3))
    umask = os.umask(0)
    os.umask(umask)
    assert (folder / "index.html").stat().st_mode & 0o777 == 0o666 & ~umask


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    """While galleries of many sizes replace each other, every read gives a whole one."""
    galleries = [make_gallery(count) for count in (0, 400, 3, 900)]
    pages = {render_index(gallery) for gallery in galleries}
    publish_to_folder(str(tmp_path), galleries[0])
    done = threading.Event()

    def write() -> None:
        for turn in range(40):
            publish_to_folder(str(tmp_path), galleries[turn % len(galleries)])
        done.set()

    writer = threading.Thread(target=write, name="writer")
    writer.start()
    seen = set()
    while not done.is_set():
        page = (tmp_path / "index.html").read_bytes()
        assert page in pages
        assert json.loads((tmp_path / "gallery.json").read_bytes())["total"] in {0, 400, 3, 900}
        seen.add(page)
    writer.join()
    assert len(seen) > 1


def test_two_writers_leave_one_whole_gallery(tmp_path: Path) -> None:
    """Two jobs that publish into one session at once don't mix their files."""
    galleries = [make_gallery(count) for count in (2, 500)]
    failures: list[BaseException] = []

    def write(gallery: Gallery) -> None:
        try:
            for _ in range(15):
                publish_to_folder(str(tmp_path), gallery)
        except OSError as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(gallery,)) for gallery in galleries]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    total = json.loads((tmp_path / "gallery.json").read_bytes())["total"]
    assert (tmp_path / "index.html").read_bytes() == render_index(make_gallery(total))
    assert sorted(os.listdir(tmp_path)) == ["gallery.json", "index.html"]


def test_json_comes_first(tmp_path: Path) -> None:
    """Killed between the two, the JSON is the new one and the page the old one, both whole."""
    publish_to_folder(str(tmp_path), make_gallery(1))
    code = publish_in_child(tmp_path, 2, GHOSTROLL_CRASH_AT="publish.file_renamed")
    assert code == -signal.SIGKILL
    assert (tmp_path / "gallery.json").read_bytes() == build_gallery_json(make_gallery(2))
    assert (tmp_path / "index.html").read_bytes() == render_index(make_gallery(1))


@pytest.mark.parametrize("point", [*POINTS, *(f"{point}:2" for point in POINTS[:-1])])
def test_killed_anywhere_the_gallery_is_whole(tmp_path: Path, point: str) -> None:
    """Killed at any point, both files are whole, old or new; the next publishing leaves no rest."""
    publish_to_folder(str(tmp_path), make_gallery(1))
    assert publish_in_child(tmp_path, 2, GHOSTROLL_CRASH_AT=point) == -signal.SIGKILL
    old, new = make_gallery(1), make_gallery(2)
    assert (tmp_path / "gallery.json").read_bytes() in {build_gallery_json(old), build_gallery_json(new)}
    assert (tmp_path / "index.html").read_bytes() in {render_index(old), render_index(new)}
    publish_to_folder(str(tmp_path), new)
    assert (tmp_path / "index.html").read_bytes() == render_index(new)
    assert sorted(os.listdir(tmp_path)) == ["gallery.json", "index.html"]


def test_every_crash_point_is_reached(tmp_path: Path) -> None:
    """Publishing passes all the points at which the tests kill it, and no other."""
    log = tmp_path / "points"
    assert publish_in_child(tmp_path, 1, GHOSTROLL_CRASH_LOG=str(log)) == 0
    assert tuple(log.read_text().split()) == POINTS


def test_a_full_disk_leaves_the_old_gallery(tmp_path: Path) -> None:
    """Where a file can't be written whole the error comes as it is, and the old files stay alone."""
    publish_to_folder(str(tmp_path), make_gallery(1))
    code = (
        "import resource, signal, sys; sys.path.insert(0, sys.argv[2]); from test_folder_target import *;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000));"
        "\ntry: publish_to_folder(sys.argv[1], make_gallery(500))"
        "\nexcept OSError as error: sys.exit(error.errno)"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)]
    assert subprocess.run(arguments, check=False).returncode == errno.EFBIG
    assert (tmp_path / "gallery.json").read_bytes() == build_gallery_json(make_gallery(1))
    assert (tmp_path / "index.html").read_bytes() == render_index(make_gallery(1))
    assert sorted(os.listdir(tmp_path)) == ["gallery.json", "index.html"]


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link under the temporary or the final name is replaced; what it names is untouched."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "session"
    folder.mkdir()
    for name in (".index.html.new", "index.html", "gallery.json"):
        (folder / name).symlink_to(victim)
    publish_to_folder(str(folder), make_gallery(1))
    assert victim.read_text() == "mine"
    assert not (folder / "index.html").is_symlink()


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    """A session's folder that isn't there is not made."""
    with pytest.raises(FileNotFoundError):
        publish_to_folder(str(tmp_path / "gone"), make_gallery(1))
    assert os.listdir(tmp_path) == []
