"""What sort of file a name promises: pure."""

from ghostroll.model import Kind

_KINDS = {
    Kind.JPEG: "jpg jpeg jpe jfif mpo",
    Kind.IMAGE: "tif tiff png webp",
    Kind.HEIF: "heic heif hif",
    # What LibRaw reads (libraw.org, supported cameras), by the extensions that cameras write.
    Kind.RAW: "3fr ari arw bay cap cr2 cr3 crw cs1 dcr dcs dng drf eip erf fff gpr iiq k25 kdc mdc mef mos mrw nef"
    " nrw orf ori pef ptx pxn raf raw rw2 rwl rwz sr2 srf srw sti x3f",
    Kind.VIDEO: "mp4 mov avi mts m2ts m4v mpg mpeg 3gp 3g2 mxf mkv wmv insv 360 lrv",
    Kind.SIDECAR: "thm xmp xml wav aae bim cpi mpl bdm mif ctg smi pp3 dop cos xmpx modd moff",
}
_BY_EXTENSION = {extension: kind for kind, extensions in _KINDS.items() for extension in extensions.split()}


def tell_kind(path: bytes) -> Kind:
    """The kind of a file by the extension of its name, in any case of letters."""
    name = path[path.rfind(b"/") + 1 :]
    stem, dot, extension = name.rpartition(b".")
    if not dot or not stem:
        return Kind.OTHER
    return _BY_EXTENSION.get(extension.decode("ascii", "replace").lower(), Kind.OTHER)
