"""What a caption says, from metadata that may say anything.

Only the tags named here are ever looked at: no place, no serial number, no owner.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from PIL import Image

from ghostroll.model import PhotoInfo
from ghostroll.render.source import BROKEN_METADATA
from ghostroll.render.wire import TEXT_LARGEST, clean

# EXIF 2.32 (CIPA DC-008-2019), tables 4 to 8
MAKE, MODEL, ORIENTATION, MODIFIED = 0x010F, 0x0110, 0x0112, 0x0132
SHUTTER, APERTURE, SENSITIVITY, FOCAL_LENGTH = 0x829A, 0x829D, 0x8827, 0x920A
INDEX_RECOMMENDED, ISO_SPEED = 0x8832, 0x8833
TAKEN, DIGITISED, OFFSET_TAKEN = 0x9003, 0x9004, 0x9011
COLOUR_SPACE, LENS_RANGE, LENS = 0xA001, 0xA432, 0xA434
_EXIF_IFD, _INTEROPERABILITY_IFD, _INTEROPERABILITY_INDEX = 0x8769, 0xA005, 1

_NOT_SRGB = (2, 0xFFFF)  # 2: not in the standard, and written by some cameras for Adobe RGB
_ADOBE_INDEX = "R03"  # DCF 2.0: "DCF optional file", that is Adobe RGB
_ADOBE_NAME = re.compile(rb"_[A-Z0-9]{3}[0-9]{4}\.", re.IGNORECASE)  # DCF 2.0: the first of eight is "_"

_MOMENT = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)", re.ASCII)
_OFFSET = re.compile(r"[+-](0\d|1[0-4]):[0-5]\d", re.ASCII)
_COMPANY = re.compile(
    r"\b(corporation|corp|company|computer|co|ltd|inc|gmbh|imaging|optical|electronics|techwin|ag)\b[., ]*",
    re.IGNORECASE,
)

Tags = Mapping[int, object]


def exif_of(image: Image.Image) -> Image.Exif:
    """The picture's EXIF, empty where it is broken."""
    try:
        return image.getexif()
    except BROKEN_METADATA:
        return Image.Exif()


def tags_of(exif: Image.Exif) -> dict[int, object]:
    """The tags of the first directory and of the Exif directory; what is broken is left out."""
    tags: dict[int, object] = {}
    for directory in (None, _EXIF_IFD):
        try:
            tags |= dict(exif) if directory is None else dict(exif.get_ifd(directory))
        except BROKEN_METADATA:
            continue
    return tags


def tags_of_tiff(block: bytes) -> dict[int, object]:
    """The tags of an Exif block that stands alone, with or without the word Exif in front."""
    exif = Image.Exif()
    try:
        exif.load(block)
    except BROKEN_METADATA:
        return {}
    return tags_of(exif)


def is_adobe_rgb(exif: Image.Exif, tags: Tags, name: bytes) -> bool:
    """Whether a picture without a profile is in Adobe RGB, by the rules of DCF 2.0."""
    if tags.get(COLOUR_SPACE) not in _NOT_SRGB:
        return False
    try:
        index = exif.get_ifd(_INTEROPERABILITY_IFD).get(_INTEROPERABILITY_INDEX)
    except BROKEN_METADATA:
        index = None
    return index == _ADOBE_INDEX if index else bool(_ADOBE_NAME.match(name))


def describe(tags: Tags) -> PhotoInfo:
    """What the tags say, in words for people; what makes no sense is left out."""
    exposure = describe_exposure(
        _number(tags.get(SHUTTER)),
        _number(tags.get(APERTURE)),
        _sensitivity(tags),
        _number(tags.get(FOCAL_LENGTH)),
    )
    return PhotoInfo(
        taken=describe_moment(_text(tags.get(TAKEN)), _text(tags.get(OFFSET_TAKEN)))
        or describe_moment(_text(tags.get(DIGITISED)), "")
        or describe_moment(_text(tags.get(MODIFIED)), ""),
        camera=describe_camera(_text(tags.get(MAKE)), _text(tags.get(MODEL))),
        lens=_describe_lens(_text(tags.get(LENS)), tags.get(LENS_RANGE)),
        exposure=exposure,
    )


def complete(info: PhotoInfo, other: PhotoInfo) -> PhotoInfo:
    """`info`, with what it doesn't know from `other`."""
    return replace(
        info,
        taken=info.taken or other.taken,
        camera=info.camera or other.camera,
        lens=info.lens or other.lens,
        exposure=info.exposure or other.exposure,
    )


def describe_camera(make: str, model: str) -> str | None:
    """Make and model, the make not said twice: "Canon EOS 40D", "SONY ILCE-7M3"."""
    maker = _COMPANY.sub(" ", make).strip(" .,")
    if not model:
        return shorten(maker)
    said = model.lower()
    if any(word in said for word in maker.lower().split()):
        return shorten(model)
    return shorten(f"{maker} {model}")


def describe_moment(moment: str, offset: str) -> str | None:
    """`2026:11:22 14:30:15` as `2026-11-22T14:30:15`, with the offset where it is one; else None."""
    found = _MOMENT.match(moment)
    if not found:
        return None
    try:
        parsed = datetime(*(int(part) for part in found.groups()))  # type: ignore[arg-type]  # noqa: DTZ001  # six numbers; a camera's clock has no zone
    except ValueError:
        return None
    return parsed.isoformat() + (offset if _OFFSET.fullmatch(offset) else "")


def describe_exposure(
    seconds: float | None, aperture: float | None, sensitivity: float | None, focal_length: float | None
) -> str | None:
    """Whatever is known of "1/250 s, f/2.8, ISO 400, 50 mm"; None where nothing is."""
    parts = []
    if seconds and 1e-6 < seconds < 1e6:
        parts.append(f"1/{round(1 / seconds)} s" if seconds < 0.3 else f"{seconds:.3g} s")
    if aperture and 0.1 < aperture < 1000:
        parts.append(f"f/{round(aperture, 1):g}")
    if sensitivity and 1 <= sensitivity < 1e8:
        parts.append(f"ISO {round(sensitivity)}")
    if focal_length and 0.1 < focal_length < 1e5:
        parts.append(f"{round(focal_length, 1):g} mm")
    return ", ".join(parts) or None


def shorten(text: str) -> str | None:
    """`text` fit for a caption, or None where nothing is left of it."""
    return clean(text, TEXT_LARGEST) or None


def _describe_lens(name: str, spec: object) -> str | None:
    if name.strip(" -0."):
        return shorten(name)
    numbers = [_number(part) for part in spec] if isinstance(spec, Iterable) else []
    match numbers:
        case [float(short), float(long), widest, _] if 0 < short <= long < 1e5:
            focal = f"{short:g} mm" if short == long else f"{short:g}-{long:g} mm"
            return focal + (f" f/{widest:g}" if widest and 0 < widest < 100 else "")
        case _:
            return None


def _sensitivity(tags: Tags) -> float | None:
    """65535 in the first tag means "more than 16 bits hold: look at the others"."""
    values = (_number(tags.get(tag)) for tag in (SENSITIVITY, INDEX_RECOMMENDED, ISO_SPEED))
    return next((value for value in values if value and value != 0xFFFF), None)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    return value.split("\0")[0].strip() if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    if isinstance(value, tuple | list):
        value = value[0] if value else None
    try:
        number = float(value)  # type: ignore[arg-type]  # rationals of two libraries; what isn't one raises
    except BROKEN_METADATA:
        return None
    return number if 0 <= number < float("inf") else None
