"""A poster frame of a clip, by FFmpeg's libraries through PyAV."""

import contextlib
import re
from collections.abc import Iterator

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from ghostroll.errors import PermanentError
from ghostroll.model import PhotoInfo
from ghostroll.render.cicp import cicp_profile
from ghostroll.render.metadata import describe_camera, describe_moment
from ghostroll.render.raster import check_pixels, finish
from ghostroll.render.scale import fit
from ghostroll.render.source import Opened, Picture

av.logging.set_level(None)

# Playlists and the like make FFmpeg open other files and addresses: only real containers are let in.
_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,avi,mpegts,mpeg,matroska,asf,mjpeg,h264,hevc,dv,mxf",
}
_PACKETS = 2000  # to find a frame in; a stream without one must end
_FRAMES = 32  # to find a key frame in
_POSTER_SECONDS = 1.0
_UNSPECIFIED, _BT709, _BT601 = 2, 1, 5  # ITU-T H.273, table 4
_HD_ROWS = 720
_FLAT = 16  # of 255
_TURN = {90: 8, 180: 3, -180: 3, -90: 6, 270: 6, -270: 8}  # degrees counterclockwise as EXIF says it


def read_video(opened: Opened, edge: int) -> Picture:
    """A frame near the start of a clip, upright and in sRGB, at most `edge` pixels long."""
    try:
        with _opened(opened) as (container, stream):
            check_pixels((stream.codec_context.width, stream.codec_context.height))
            info = _describe(container)
            image = _poster(container, stream, edge)
        if image is None:  # not to be sought in, or no key frame where it should be: from the start
            with _opened(opened) as (container, stream):
                frame = _first_frame(container, stream)
                if frame is None:
                    raise PermanentError("the clip holds no frame that can be decoded")
                image = _to_image(frame, stream, edge)
    except av.MemoryError as error:
        raise MemoryError from error
    except av.FFmpegError as error:
        raise PermanentError("the clip is damaged, or of a kind that FFmpeg doesn't know") from error
    return Picture(image, info)


@contextlib.contextmanager
def _opened(opened: Opened) -> Iterator[tuple[InputContainer, VideoStream]]:
    with av.open(opened.address, options=_OPTIONS, metadata_errors="replace") as container:
        if not container.streams.video:
            raise PermanentError("the clip has no picture, only sound")
        coded = container.streams.video
        stream = next((one for one in coded if one.codec_context is not None), None)  # type: ignore[redundant-expr]  # PyAV's stub leaves None out
        if stream is None:
            raise PermanentError("the clip's picture is coded in a way that FFmpeg doesn't know")
        stream.codec_context.thread_count = 1
        yield container, stream


def _poster(container: InputContainer, stream: VideoStream, edge: int) -> Image.Image | None:
    """The frame at a tenth of the clip or at one second, whichever is earlier; if flat, at half of it."""
    image = None
    length = (container.duration or 0) / av.time_base
    for seconds in (min(_POSTER_SECONDS, length / 10), length / 2):
        try:
            container.seek((container.start_time or 0) + int(seconds * av.time_base))
        except av.FFmpegError:
            break
        frame = _first_frame(container, stream)
        if frame is None:
            break
        image = _to_image(frame, stream, edge)
        if not _is_flat(image):
            break
    return image


def _is_flat(image: Image.Image) -> bool:
    """Whether there is next to nothing on it, as on the black that clips fade in from."""
    low, high = image.convert("L").reduce(8).getextrema()
    return high - low < _FLAT  # type: ignore[operator]  # of one band: two numbers


def _first_frame(container: InputContainer, stream: VideoStream) -> VideoFrame | None:
    """The first frame that needs no other to be whole, else simply the first."""
    first: VideoFrame | None = None
    decoded = 0
    for count, packet in enumerate(container.demux(stream)):
        for frame in _decode(packet):
            if frame.key_frame or frame.pict_type == PictureType.I:
                return frame
            first = first or frame
            decoded += 1
        if decoded >= _FRAMES or count >= _PACKETS:
            break
    return first


def _decode(packet: "Packet[VideoStream]") -> list[VideoFrame]:
    try:
        return list(packet.decode())
    except av.InvalidDataError:
        return []


def _to_image(frame: VideoFrame, stream: VideoStream, edge: int) -> Image.Image:
    space = int(frame.colorspace)
    if space == _UNSPECIFIED:
        space = _BT709 if frame.height >= _HD_ROWS else _BT601
    image = frame.reformat(format="rgb24", src_colorspace=space).to_image()  # type: ignore[no-untyped-call]  # PyAV's stub forgot it
    ratio = float(stream.sample_aspect_ratio or 1)
    width, height = image.size
    if 1 < ratio < 4:  # pixels that aren't square are made so by taking some away
        height = max(1, round(height / ratio))
    elif 0.25 < ratio < 1:
        width = max(1, round(width * ratio))
    profile = cicp_profile(int(frame.color_primaries), int(frame.color_trc))
    return finish(image, fit((width, height), edge), profile, _TURN.get(round(frame.rotation)))


def _describe(container: InputContainer) -> PhotoInfo:
    says = container.metadata
    apple = "com.apple.quicktime."
    taken = says.get(apple + "creationdate") or says.get("creation_time") or ""
    make = says.get(apple + "make") or says.get("com.android.manufacturer") or ""
    model = says.get(apple + "model") or says.get("com.android.model") or ""
    seconds = container.duration / av.time_base if container.duration and container.duration > 0 else None
    return PhotoInfo(
        taken=describe_moment(taken, offset_of(taken)),
        camera=describe_camera(make, model),
        duration=None if seconds is None else round(seconds, 2),
    )


def offset_of(moment: str) -> str:
    """The offset at the end of an ISO 8601 moment as `+03:00`, or nothing."""
    if moment.endswith("Z"):
        return "+00:00"
    found = re.search(r"([+-]\d\d):?(\d\d)$", moment)
    return f"{found[1]}:{found[2]}" if found and "T" in moment else ""
