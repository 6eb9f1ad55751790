"""The text files that cameras leave beside pictures: XMP, print orders, the index of a clip tree."""

from datetime import datetime

from ghostroll.demo.exif import Camera


def make_xmp(*, taken: datetime, rating: int) -> bytes:
    """An XMP sidecar with a rating (0 to 5), as converters write it."""
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
   xmp:Rating="{rating}" xmp:Label="Select" xmp:CreateDate="{taken.isoformat()}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
""".encode()


def make_print_order(*, taken: datetime, picture: str) -> bytes:
    """MISC/AUTPRINT.MRK, a DPOF print order of one picture; `picture` is relative to MISC."""
    lines = (
        "[HDR]",
        "GEN REV = 01.10",
        'GEN CRT = "ghostroll demo"',
        f"GEN DTM = {taken:%Y:%m:%d:%H:%M:%S}",
        "",
        "[JOB]",
        "PRT PID = 001",
        "PRT TYP = STD",
        "PRT QTY = 001",
        "IMG FMT = EXIF2 -J",
        f'<IMG SRC = "{picture}">',
    )
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def make_media_profile() -> bytes:
    """PRIVATE/M4ROOT/MEDIAPRO.XML: the index of a clip tree with one clip."""
    return b"""<?xml version="1.0" encoding="UTF-8"?>
<MediaProfile xmlns="http://xmlns.sony.net/pro/metadata/mediaprofile" createdAt="2025-09-20T06:00:00+02:00" version="2.00">
 <Contents>
  <Material uri="./CLIP/C0001.MP4" type="MP4" dur="50" fps="25p" ch="0" aspectRatio="16:9"/>
 </Contents>
</MediaProfile>
"""


def make_clip_notes(*, taken: datetime, camera: Camera) -> bytes:
    """PRIVATE/M4ROOT/CLIP/C0001M01.XML: what the camera notes of a clip, its serial number too."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<NonRealTimeMeta xmlns="urn:schemas-professionalDisc:nonRealTimeMeta:ver.2.00">
 <Duration value="50"/>
 <CreationDate value="{taken.isoformat()}"/>
 <Device manufacturer="{camera.make}" modelName="{camera.model}" serialNo="{camera.serial}"/>
</NonRealTimeMeta>
""".encode()
