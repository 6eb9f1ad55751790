"""Whether pictures of every kind can be made here: a small one of each goes through a real render worker.

The samples are plain surfaces of 64 by 48 pixels, encoded with the libraries that the package `demo` draws with.
"""

import importlib.resources
import importlib.util
import io
import os
import shlex
import sys
from dataclasses import dataclass

from ghostroll.doctor.finding import INSTALL, Check, Finding, finding, join_names, ok
from ghostroll.doctor.surroundings import Surroundings
from ghostroll.errors import GhostrollError
from ghostroll.model import Kind, Rendered
from ghostroll.render.lane import Lane, RenderLimits

_SAMPLES = importlib.resources.files("ghostroll.doctor") / "samples"


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture that must come out, and the package that makes it."""

    name: str
    kind: Kind
    title: str
    package: str


SAMPLES = (
    Sample("sample.jpg", Kind.JPEG, "JPEG", "pillow"),
    Sample("sample.heic", Kind.HEIF, "HEIC", "pillow-heif"),
    Sample("sample.dng", Kind.RAW, "RAW", "rawpy"),
    Sample("sample.mp4", Kind.VIDEO, "video", "av"),
)


_P3_ORANGE = (251, 49, 47)  # how the JPEG's 230, 70, 60 of Display P3 are in sRGB
_TOLERANCE = 8  # of 255


@dataclass(frozen=True, slots=True)
class FormatFacts:
    """`failed` says why a sample did not come out. `colours` is whether profiles are heeded, None where none was tried.

    In `remedy`, {} stands for the package to be mended.
    """

    tried: tuple[Sample, ...]
    failed: tuple[tuple[Sample, str], ...]
    colours: bool | None
    remedy: str


def look_at_formats(surroundings: Surroundings) -> list[Finding]:
    """Every decoder, and the conversion of colours."""
    render = surroundings.settings.render
    lane = Lane(RenderLimits(seconds=render.seconds, memory_bytes=render.memory_mib << 20, niceness=0))
    failed, colours = [], None
    try:
        for sample in SAMPLES:
            try:
                rendered = _render(lane, sample)
            except GhostrollError as error:
                failed.append((sample, str(error)))
            else:
                colours = _is_converted(rendered.thumb) if sample.kind is Kind.JPEG else colours
    finally:
        lane.close()
    return judge_formats(FormatFacts(SAMPLES, tuple(failed), colours, _say_remedy()))


def judge_formats(facts: FormatFacts) -> list[Finding]:
    """What can't be decoded here, and what can."""
    found = [_say_failed(sample, error, facts.remedy) for sample, error in facts.failed]
    broken = [sample for sample, _ in facts.failed]
    good = [sample.title for sample in facts.tried if sample not in broken]
    if good:
        found.append(ok(Check.FORMATS, f"a render worker makes pictures of {join_names(good, 9)} files"))
    if facts.colours is False:
        why = "pictures in Adobe RGB or Display P3 come out in wrong colours"
        found.append(
            finding(Check.COLOURS, "colour profiles are not heeded", why, facts.remedy.format("pillow"))
        )
    elif facts.colours:
        found.append(ok(Check.COLOURS, "colour profiles are heeded"))
    return found


def _say_failed(sample: Sample, error: str, remedy: str) -> Finding:
    return finding(
        Check.FORMATS,
        f"no picture can be made of {sample.title} files: {error}",
        "they are stored all the same, but the gallery doesn't show them",
        remedy.format(sample.package),
    )


def _render(lane: Lane, sample: Sample) -> Rendered:
    with importlib.resources.as_file(_SAMPLES / sample.name) as path:
        return lane.render(os.fsencode(path), sample.kind)


def _is_converted(picture: bytes) -> bool:
    from PIL import Image  # noqa: PLC0415  # it may be what is broken

    with Image.open(io.BytesIO(picture)) as image:
        found = image.convert("RGB").getpixel((image.width // 2, image.height // 2))
    assert isinstance(found, tuple)
    return all(abs(have - want) <= _TOLERANCE for have, want in zip(found, _P3_ORANGE, strict=True))


def _say_remedy() -> str:
    """How a package is installed anew in this very environment."""
    if importlib.util.find_spec("pip") is None:  # the installer's environments have none
        return INSTALL
    return f"{shlex.quote(sys.executable)} -m pip install --force-reinstall {{}}"
