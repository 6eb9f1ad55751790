"""All that may be said of a picture that can't be rendered; anything else is a surprise, and a defect."""

import re
from collections.abc import Mapping

_SENTENCES = tuple(
    map(
        re.compile,
        (
            r"the file is empty",
            r"the file is truncated",
            r"the file is no picture of its kind, or its start is damaged",
            r"the picture is damaged and can't be decoded",
            r"says it has \d+ x \d+ pixels, more than any camera's picture",
            r"not a RAW file that LibRaw knows, or its start is damaged",
            r"the RAW file is (damaged or )?truncated, and has no preview",
            r"the clip is damaged, or of a kind that FFmpeg doesn't know",
            r"the clip's picture is coded in a way that FFmpeg doesn't know",
            r"the clip has no picture, only sound",
            r"the clip holds no frame that can be decoded",
            r"needs more memory than render\.memory_mib allows",
            r"took longer than [\d.]+ s",
            r"the decoder crashed \(SIG(SEGV|ABRT|BUS|FPE|ILL)\)",
        ),
    )
)


def find_surprises(named: Mapping[str, str]) -> dict[str, str]:
    """Files of which something was said that nobody should have to read."""
    return {
        name: said for name, said in named.items() if not any(known.fullmatch(said) for known in _SENTENCES)
    }
