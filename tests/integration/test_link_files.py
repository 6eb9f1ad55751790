"""`link.txt` and `link.png`: whole, durable, private, and a code that phones read."""

import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from codes import decode, make_link, photograph
from PIL import Image
from running import do_without

from ghostroll.publish.link import write_link

END = "works until 29 November 2026, 14:30 CET"
OLD, NEW = make_link(380), make_link(800)
POINTS = (
    "link.writing",
    "publish.file_written",
    "publish.file_synced",
    "publish.file_renamed",
    "publish.folder_synced",
    "link.written",
)
TWICE = tuple(f"{point}:2" for point in POINTS if "file" in point)


def write(folder: Path, link: str) -> None:
    write_link(os.fsencode(folder), link, END)


def write_in_child(folder: Path, length: int, before: str = "", **environment: str) -> int:
    """Write a link in a process of its own, which a crash point may kill. Its return code."""
    code = (
        "import sys; sys.path[:0] = sys.argv[3:]; from test_link_files import *;"
        f"{before}\ntry: write(Path(sys.argv[1]), make_link(int(sys.argv[2])))"
        "\nexcept OSError as error: sys.exit(error.errno)"
    )
    here = Path(__file__).parent
    arguments = [sys.executable, "-c", code, str(folder), str(length), str(here), str(here.parent)]
    return subprocess.run(arguments, env=os.environ | environment, check=False).returncode


def read_code(folder: Path) -> str:
    """What the picture in a folder says."""
    with Image.open(folder / "link.png") as image:
        (text,) = decode(image)
    return text


def check_whole(folder: Path, *links: str) -> None:
    """Both files are whole, each with one of these links."""
    link, sentence = (folder / "link.txt").read_text().splitlines()
    assert link in links
    assert sentence == END
    assert read_code(folder) in links


@pytest.mark.parametrize("length", [120, 380, 800, 1700, 2953])
def test_both_files_say_the_link(tmp_path: Path, length: int) -> None:
    """The text has the link on its first line and its end on the second; the picture decodes to it; nothing else is left."""
    write(tmp_path, make_link(length))
    assert (tmp_path / "link.txt").read_text() == f"{make_link(length)}\n{END}\n"
    assert read_code(tmp_path) == make_link(length)
    assert sorted(os.listdir(tmp_path)) == ["link.png", "link.txt"]


@pytest.mark.parametrize("length", [120, 380, 800, 1700])
def test_the_picture_is_crisp(tmp_path: Path, length: int) -> None:
    """It is black and white, at least 1,000 pixels wide, of modules of the same size, four white ones around them."""
    write(tmp_path, make_link(length))
    with Image.open(tmp_path / "link.png") as image:
        assert {colour for _, colour in image.convert("RGB").getcolors() or ()} == {
            (0, 0, 0),
            (255, 255, 255),
        }
        grey = image.convert("L")
    assert grey.width == grey.height >= 1000
    left, top, right, bottom = grey.point(lambda value: 255 - value).getbbox() or (0, 0, 0, 0)
    assert (left, top) == (grey.width - right, grey.height - bottom) == (left, left)
    module = left // 4
    assert grey.width % module == 0
    modules = grey.width // module
    small = grey.resize((modules, modules), Image.Resampling.NEAREST)
    assert small.resize(grey.size, Image.Resampling.NEAREST).tobytes() == grey.tobytes()


@pytest.mark.parametrize("degrees", [0, 3, -8, 20, 90, 183])
@pytest.mark.parametrize("length", [380, 800, 1700])
def test_phones_read_the_picture(tmp_path: Path, length: int, degrees: float) -> None:
    """A photo of it with three pixels a module, turned, soft and compressed, still gives the link."""
    write(tmp_path, make_link(length))
    with Image.open(tmp_path / "link.png") as image:
        module = (image.convert("L").point(lambda value: 255 - value).getbbox() or (0,))[0] // 4
        width = 3 * image.width // module
        seen = photograph(image, width=width, degrees=degrees, blur=1, quality=60)
    assert decode(seen) == [make_link(length)]


@pytest.mark.parametrize("length", [380, 800])
def test_a_print_may_be_damaged(tmp_path: Path, length: int) -> None:
    """A stain on a twelfth of the picture doesn't cost the link."""
    write(tmp_path, make_link(length))
    with Image.open(tmp_path / "link.png") as image:
        stained = image.convert("L")
    side = round(stained.width / 12**0.5)
    start = (stained.width - side) // 2
    stained.paste(255, (start, start, start + side, start + side))
    assert decode(stained) == [make_link(length)]


def test_a_new_link_takes_the_olds_place(tmp_path: Path) -> None:
    """Nothing of an earlier link is left in either file."""
    write(tmp_path, OLD)
    write(tmp_path, NEW)
    check_whole(tmp_path, NEW)


def test_too_long_a_link_has_no_picture(tmp_path: Path) -> None:
    """Where no code can hold the link the text stands alone; an earlier link's picture doesn't stay."""
    write(tmp_path, OLD)
    write(tmp_path, make_link(2954))
    assert (tmp_path / "link.txt").read_text().startswith(make_link(2954) + "\n")
    assert os.listdir(tmp_path) == ["link.txt"]


@pytest.mark.parametrize(("of_folder", "of_file"), [(0o2775, 0o640), (0o755, 0o640), (0o700, 0o600)])
def test_the_link_is_private(tmp_path: Path, of_folder: int, of_file: int) -> None:
    """Only the owner writes the files, the folder's group reads them if it reads the folder, nobody else does."""
    folder = tmp_path / "session"
    folder.mkdir()
    folder.chmod(of_folder)
    mask = os.umask(0)
    try:
        write(folder, OLD)
    finally:
        os.umask(mask)
    for name in ("link.txt", "link.png"):
        assert (folder / name).stat().st_mode & 0o7777 == of_file


def test_the_folders_group_reads_the_link(tmp_path: Path) -> None:
    """The files get the group of their folder, without its bit for that too."""
    if os.geteuid() != 0:
        do_without("only root gives folders to another group: run it as root")
    os.chown(tmp_path, -1, 4711)
    tmp_path.chmod(0o775)
    write(tmp_path, OLD)
    assert {(tmp_path / name).stat().st_gid for name in ("link.txt", "link.png")} == {4711}


def test_whoever_is_not_in_the_group_keeps_the_link_alone(tmp_path: Path) -> None:
    """Where the folder's group can't be given, the files are their owner's: no other group reads them."""
    if os.geteuid() != 0:
        do_without("only root becomes somebody else: run it as root")
    os.chown(tmp_path, -1, 4711)
    tmp_path.chmod(0o777)
    # What stands in folders of root's alone is opened before.
    become = "import segno; os.chdir(sys.argv[1]); sys.argv[1] = '.'"
    become += "; os.setgroups([]); os.setgid(4712); os.setuid(4712)"
    assert write_in_child(tmp_path, 380, become) == 0
    found = (tmp_path / "link.txt").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (4712, 4712, 0o600)


@pytest.mark.parametrize("point", [*POINTS, *TWICE])
def test_killed_anywhere_the_files_are_whole(tmp_path: Path, point: str) -> None:
    """Killed at any point, each file is the old one or the new one; the next writing leaves no rest."""
    write(tmp_path, OLD)
    assert write_in_child(tmp_path, 800, GHOSTROLL_CRASH_AT=point) == -signal.SIGKILL
    check_whole(tmp_path, OLD, NEW)
    write(tmp_path, NEW)
    check_whole(tmp_path, NEW)
    assert sorted(os.listdir(tmp_path)) == ["link.png", "link.txt"]


def test_every_point_on_the_way_is_killed_at(tmp_path: Path) -> None:
    """Writing a link passes all the points at which the tests kill it, and no other."""
    log = tmp_path / "points"
    folder = tmp_path / "session"
    folder.mkdir()
    assert write_in_child(folder, 380, GHOSTROLL_CRASH_LOG=str(log)) == 0
    assert tuple(log.read_text().split()) == POINTS


def test_a_full_disk_leaves_the_old_link(tmp_path: Path) -> None:
    """Where the picture can't be written whole the error comes as it is, and the old files stay, alone."""
    write(tmp_path, OLD)
    before = "import resource; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900))"
    assert write_in_child(tmp_path, 800, before) == errno.EFBIG
    check_whole(tmp_path, OLD)
    assert sorted(os.listdir(tmp_path)) == ["link.png", "link.txt"]


def test_links_in_the_way_are_not_followed(tmp_path: Path) -> None:
    """A symbolic link under a temporary or a final name is replaced; what it names is untouched."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    victim.chmod(0o644)
    folder = tmp_path / "session"
    folder.mkdir()
    for name in (".link.txt.new", ".link.png.new", "link.txt", "link.png"):
        (folder / name).symlink_to(victim)
    write(folder, OLD)
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("mine", 0o644)
    assert not (folder / "link.txt").is_symlink()
    check_whole(folder, OLD)


def test_a_session_that_is_gone_is_not_made(tmp_path: Path) -> None:
    """Where the session's folder isn't there, the error says so and nothing appears."""
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "gone", OLD)
    assert os.listdir(tmp_path) == []


def test_the_picture_names_nothing_else(tmp_path: Path) -> None:
    """No text or time stands in the PNG beside the pixels."""
    write(tmp_path, OLD)
    with Image.open(io.BytesIO((tmp_path / "link.png").read_bytes())) as image:
        image.load()
        assert image.info.keys() <= {"transparency", "gamma", "dpi"}
