"""What a camera writes into its pictures (EXIF 2.32), private things included.

The demo's pictures carry an owner, serial numbers, a place and a comment, so that it can be seen that
none of them reaches a shared picture.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction

from ghostroll.demo import tiff

COMMENT = "Private note: not for the gallery"  # stands in EXIF and in the JPEG's comment segment


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera body, the lens on it and who owns it. `place` is latitude, longitude (degrees), altitude (m)."""

    make: str = "Canon"
    model: str = "Canon EOS R6"
    lens: str = "RF24-105mm F4 L IS USM"
    serial: str = "043021007314"
    lens_serial: str = "5812004477"
    owner: str = "Alex Example"
    place: tuple[float, float, float] = (46.02072, 7.74912, 1608.0)


@dataclass(frozen=True, slots=True)
class Exposure:
    """How long (seconds), through which opening (f-number), at which ISO and focal length (mm)."""

    seconds: Fraction = Fraction(1, 250)
    aperture: float = 8.0
    iso: int = 100
    focal_length: int = 35


@dataclass(frozen=True, slots=True)
class Frame:
    """The picture that the EXIF block belongs to. `size` is of the stored pixels, before rotation."""

    size: tuple[int, int]
    taken: datetime
    camera: Camera
    exposure: Exposure
    orientation: int = 1
    adobe_rgb: bool = False
    thumbnail: bytes | None = None


def exif_block(frame: Frame) -> bytes:
    """The APP1 payload of a JPEG (and `exif=` of Pillow's plugins): "Exif", two zeros, a TIFF."""
    main = main_directory(frame)
    if frame.thumbnail is None:
        return b"Exif\0\0" + tiff.write_tiff(main)
    small = {
        259: tiff.shorts(6),  # Compression: JPEG
        282: tiff.rationals(72),
        283: tiff.rationals(72),
        296: tiff.shorts(2),
        513: tiff.place_of(frame.thumbnail),  # JPEGInterchangeFormat
        514: tiff.longs(len(frame.thumbnail)),
    }
    return b"Exif\0\0" + tiff.write_tiff(main, small)


def main_directory(frame: Frame) -> tiff.Ifd:
    """IFD0 with the camera's tags and the EXIF and GPS directories below it."""
    camera = frame.camera
    return {
        270: tiff.text("Drawn by ghostroll demo"),  # ImageDescription
        271: tiff.text(camera.make),
        272: tiff.text(camera.model),
        274: tiff.shorts(frame.orientation),
        282: tiff.rationals(72),
        283: tiff.rationals(72),
        296: tiff.shorts(2),  # ResolutionUnit: inch
        306: tiff.text(f"{frame.taken:%Y:%m:%d %H:%M:%S}"),
        315: tiff.text(camera.owner),  # Artist
        33432: tiff.text(f"(c) {camera.owner}"),
        34665: tiff.directories(_exif_directory(frame)),
        34853: tiff.directories(_gps_directory(frame)),
    }


def _exif_directory(frame: Frame) -> tiff.Ifd:
    camera, exposure, taken = frame.camera, frame.exposure, frame.taken
    fields = {
        33434: tiff.rationals(exposure.seconds),  # ExposureTime
        33437: tiff.rationals(exposure.aperture),  # FNumber
        34850: tiff.shorts(3),  # ExposureProgram: aperture priority
        34855: tiff.shorts(exposure.iso),
        36864: tiff.opaque(b"0232"),  # ExifVersion
        36867: tiff.text(f"{taken:%Y:%m:%d %H:%M:%S}"),  # DateTimeOriginal
        36868: tiff.text(f"{taken:%Y:%m:%d %H:%M:%S}"),  # DateTimeDigitized
        37121: tiff.opaque(b"\1\2\3\0"),  # ComponentsConfiguration: YCbCr
        37380: tiff.signed_rationals(0),  # ExposureBiasValue
        37383: tiff.shorts(5),  # MeteringMode: pattern
        37385: tiff.shorts(16),  # Flash: off
        37386: tiff.rationals(exposure.focal_length),
        37510: tiff.opaque(b"ASCII\0\0\0" + COMMENT.encode()),  # UserComment
        37521: tiff.text("42"),  # SubSecTimeOriginal
        40960: tiff.opaque(b"0100"),  # FlashpixVersion
        40961: tiff.shorts(0xFFFF if frame.adobe_rgb else 1),  # ColorSpace
        40962: tiff.longs(frame.size[0]),
        40963: tiff.longs(frame.size[1]),
        40965: tiff.directories({1: tiff.text("R03" if frame.adobe_rgb else "R98"), 2: tiff.opaque(b"0100")}),
        42032: tiff.text(camera.owner),  # CameraOwnerName
        42033: tiff.text(camera.serial),  # BodySerialNumber
        42036: tiff.text(camera.lens),  # LensModel
        42037: tiff.text(camera.lens_serial),  # LensSerialNumber
    }
    if offset := f"{taken:%z}":
        fields |= {
            tag: tiff.text(f"{offset[:3]}:{offset[3:5]}") for tag in (36880, 36881, 36882)
        }  # OffsetTime…
    return fields


def _gps_directory(frame: Frame) -> tiff.Ifd:
    latitude, longitude, altitude = frame.camera.place
    moment = frame.taken.astimezone(UTC) if frame.taken.tzinfo else frame.taken
    return {
        0: tiff.octets(2, 3, 0, 0),  # GPSVersionID
        1: tiff.text("N" if latitude >= 0 else "S"),
        2: tiff.rationals(*_degrees(latitude)),
        3: tiff.text("E" if longitude >= 0 else "W"),
        4: tiff.rationals(*_degrees(longitude)),
        5: tiff.octets(0 if altitude >= 0 else 1),
        6: tiff.rationals(abs(altitude)),
        7: tiff.rationals(moment.hour, moment.minute, moment.second),
        29: tiff.text(f"{moment:%Y:%m:%d}"),
    }


def _degrees(angle: float) -> tuple[int, int, Fraction]:
    """Degrees, minutes and seconds of an angle."""
    rest = Fraction(abs(angle)).limit_denominator(1_000_000) * 3600
    minutes, seconds = divmod(rest, 60)
    return int(minutes // 60), int(minutes % 60), seconds
