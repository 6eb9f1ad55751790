"""How far a job is, as a document for whoever watches it over the socket, and back. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ghostroll.model import SourceState, Stage
from ghostroll.observe.meter import Reading
from ghostroll.state.assets import Tally
from ghostroll.state.pictures import PictureTally


@dataclass(frozen=True, slots=True)
class Glance:
    """A job's counts at a moment, or a sentence for the person who watches."""

    tally: Tally
    pictures: PictureTally
    readings: Mapping[Stage, Reading]


def describe_note(sentence: str) -> dict[str, Any]:
    """A sentence on the way, as a document."""
    return {"note": sentence}


def read_note(document: Mapping[str, Any]) -> str | None:
    """The sentence in a document, if it is one."""
    note = document.get("note")
    return note if isinstance(note, str) else None


def describe_glance(glance: Glance) -> dict[str, Any]:
    """Counts as a document."""
    return {
        "tally": asdict(glance.tally),
        "pictures": asdict(glance.pictures),
        "stages": {stage: asdict(reading) for stage, reading in glance.readings.items()},
    }


def read_glance(document: Mapping[str, Any]) -> Glance | None:
    """The counts in a document; None where they are of another version."""
    try:
        tally, stages = dict(document["tally"]), document["stages"]
        tally["states"] = {SourceState(state): int(number) for state, number in tally["states"].items()}
        return Glance(
            Tally(**tally),
            PictureTally(**document["pictures"]),
            {stage: Reading(**stages.get(stage, {})) for stage in Stage},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
