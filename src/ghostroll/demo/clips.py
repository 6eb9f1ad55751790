"""Moving pictures and sound: a short MP4 and a voice memo."""

import io
import wave
from datetime import UTC, datetime

import av
import numpy as np
from PIL import Image

from ghostroll.demo.exif import Frame, exif_block
from ghostroll.demo.photos import CAMERA, draw_photo, encode_jpeg, exposure_at

_RATE = 25  # pictures a second
_SOUND_RATE = 8000  # samples a second


def make_clip(
    *, seed: int, taken: datetime, seconds: float = 2.0, size: tuple[int, int] = (640, 360)
) -> bytes:
    """An MP4 (MPEG-4 Part 2, without sound) of a slow pan over a landscape; `taken` needs an offset.

    The same for the same arguments: one thread encodes, and nothing of FFmpeg's version is written.
    """
    width, height = size
    wide = _pan(seed, taken, size)
    out = io.BytesIO()
    options = {"fflags": "+bitexact"}
    with av.open(out, "w", format="mp4", container_options=options) as container:
        container.metadata["creation_time"] = f"{taken.astimezone(UTC):%Y-%m-%dT%H:%M:%S.000000Z}"
        stream = container.add_stream("mpeg4", rate=_RATE, options={"flags": "+bitexact", "qscale": "5"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 900_000
        stream.codec_context.thread_count = 1
        count = round(seconds * _RATE)
        for index in range(count):
            left = (wide.width - width) * index // count
            picture = av.VideoFrame.from_ndarray(np.asarray(wide)[:, left : left + width], format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return out.getvalue()


def make_thm(*, seed: int, taken: datetime) -> bytes:
    """The small JPEG that cameras put beside a clip: its first picture at 160 by 120, between black bars."""
    first = _pan(seed, taken, (640, 360)).crop((0, 0, 640, 360)).resize((160, 90), Image.Resampling.LANCZOS)
    image = Image.new("RGB", (160, 120))
    image.paste(first, (0, 15))
    exif = exif_block(Frame(image.size, taken, CAMERA, exposure_at(taken, seed)))
    return encode_jpeg(image, quality=80, exif=exif)


def _pan(seed: int, taken: datetime, size: tuple[int, int]) -> Image.Image:
    """A picture wide enough for the pan."""
    return draw_photo(seed=seed, taken=taken, size=(size[0] * 5 // 4, size[1]))


def make_voice_memo(seconds: float = 1.5) -> bytes:
    """A WAV, 8 kHz, 16 bits, mono: three soft falling notes."""
    time = np.arange(round(seconds * _SOUND_RATE)) / _SOUND_RATE
    sound = np.zeros_like(time)
    for start, pitch in ((0.0, 659.3), (0.3, 523.3), (0.6, 440.0)):
        after = np.clip(time - start, 0, None)
        sound += np.sin(2 * np.pi * pitch * after) * np.exp(-4 * after) * (time >= start)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_SOUND_RATE)
        file.writeframes((sound / 3 * 32_000).astype("<i2").tobytes())
    return out.getvalue()
