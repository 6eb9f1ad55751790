"""A worker process that has been taken over: it speaks the lane's language, and nothing it says is true."""

import json
import random
import stat
import sys
from pathlib import Path

from ghostroll.render.wire import HEAD, LENGTH, Tag, pack

JPEG = b"\xff\xd8\xff\xe0 picture \xff\xd9"
_NASTY: tuple[object, ...] = (
    None,
    True,
    -1,
    0,
    2**31,
    10**400,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "\x1b[2J",
    "\ud800",
    "x" * 5000,
    [],
    {},
)
_SIZES = ([2049, 10], [0, 0], [-1, 5], [True, True], [2**31, 1], [20.0, 10])

_SCRIPT = """#!{python} -I
import json, os, signal, socket, sys
sys.path[:0] = {paths!r}
from lying_worker import make_lie
channel = socket.socket(fileno=json.loads(sys.argv[-1])["channel"])
head = channel.recv(5)
path = channel.recv(65536)
lie = make_lie(int(path.rpartition(b"/")[2]))
sys.stderr.buffer.write(lie.words)
sys.stderr.flush()
try:
    channel.sendall(lie.frames)
    if lie.stays:
        channel.recv(1)
except OSError:
    pass
if lie.ending < 0:
    signal.raise_signal(-lie.ending)
os._exit(lie.ending)
"""


class Lie:
    """What it sends, what it leaves on stderr, and how it ends."""

    def __init__(self, frames: bytes, words: bytes, ending: int, *, stays: bool) -> None:
        self.frames, self.words, self.ending, self.stays = frames, words, ending, stays


def write_liar(path: Path) -> Path:
    """A program that can stand where Python does: it takes one task, whose file's name is the seed of its lie."""
    paths = [
        str(Path(__file__).parent),
        *(place for place in sys.path if place.endswith(("src", "site-packages"))),
    ]
    path.write_text(_SCRIPT.format(python=sys.executable, paths=paths))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def make_lie(seed: int) -> Lie:
    """The lie of this seed; one in twenty comes before the task is taken."""
    dice = random.Random(seed)
    taken = b"" if dice.random() < 0.05 else pack(Tag.TAKEN)
    match dice.randrange(10):
        case 0:
            frames = dice.randbytes(dice.choice((0, 1, 5, 400)))
        case 1 | 8 | 9:
            frames = _answer(dice)
        case 2:
            frames = bytes(_flip(dice, _answer(None)))
        case 3:
            whole = _answer(None)
            frames = whole[: dice.randrange(len(whole))]
        case 4:
            frames = _answer(None) * dice.choice((1, 2, 50)) + dice.randbytes(dice.choice((0, 1, 100)))
        case 5:
            frames = (
                HEAD.pack(dice.choice(list(Tag)).value, dice.choice((0, 1, 2**26, 2**26 + 1, 2**32 - 1)))
                + b"x" * 100
            )
        case 6:
            tag = dice.choice((Tag.PERMANENT, Tag.TRANSIENT))
            frames = pack(
                tag,
                dice.choice(
                    (b"", b"\0" * 9, b"\x1b]0;owned\x07", b"\xff\n\r\n", "\u202eabc".encode() * 9999)
                ),
            )
        case _:
            frames = pack(dice.choice((Tag.TASK, Tag.TAKEN)), dice.randbytes(9))
    words = dice.choice(
        (b"", b"\x1b[2J\x1b]0;owned\x07", b"\xff\xfe\n\n", b"x" * 200_000, b"std::bad_alloc\n")
    )
    ending = dice.choice((0, 1, 3, 255, -6, -9, -11, -15))
    return Lie(taken + frames, words[:60_000], ending, stays=dice.random() < 0.02)


def _answer(dice: random.Random | None) -> bytes:
    """A good answer, or one with a single value that is not."""
    info: dict[str, object] = dict.fromkeys(("taken", "camera", "lens", "exposure", "duration"))
    header: dict[str, object] = {"share_bytes": len(JPEG), "share_size": [20, 10], "thumb_bytes": len(JPEG)}
    header |= {"thumb_size": [2, 1], "info": info}
    if dice is not None:
        place = dice.choice((header, info))
        name = dice.choice([*place, "more"])
        place[name] = dice.choice(_SIZES if name.endswith("_size") else _NASTY)
    packed = json.dumps(header).encode()
    return pack(Tag.RENDERED, LENGTH.pack(len(packed)) + packed + JPEG * 2)


def _flip(dice: random.Random, data: bytes) -> bytearray:
    out = bytearray(data)
    for _ in range(dice.choice((1, 3))):
        out[dice.randrange(len(out))] ^= 1 << dice.randrange(8)
    return out
