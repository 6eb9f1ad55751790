"""How large the pictures get, and how much one of them may cost."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RenderLimits:
    """Edges in pixels (the longer one), JPEG qualities 1 to 95, and the bounds of one worker."""

    share_edge: int = 2048
    thumb_edge: int = 512
    share_quality: int = 85
    thumb_quality: int = 80
    seconds: float = 60.0  # wall time for one task, then the worker is killed
    memory_bytes: int = 1280 * 2**20  # RLIMIT_DATA of the worker
    niceness: int = 10
