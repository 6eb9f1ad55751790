"""Colour spaces named by code points (ITU-T H.273), as HEIF pictures and clips carry them."""

from collections.abc import Callable
from functools import lru_cache

from ghostroll.render.profiles import (
    BT2020_PRIMARIES,
    P3_PRIMARIES,
    SRGB_PRIMARIES,
    matrix_profile,
    srgb_curve,
)

_PRIMARIES = {1: SRGB_PRIMARIES, 9: BT2020_PRIMARIES, 12: P3_PRIMARIES}  # H.273, table 2
_PAPER_WHITE = 203.0  # cd/m² of diffuse white, ITU-R BT.2408
_STEPS = 4096


def profile_for(nclx: object) -> bytes | None:
    """The profile that an nclx record of pillow-heif names; None where that is sRGB or unknown."""
    if not isinstance(nclx, dict):
        return None
    return cicp_profile(nclx.get("color_primaries"), nclx.get("transfer_characteristics"))


@lru_cache(maxsize=8)
def cicp_profile(primaries: object, transfer: object) -> bytes | None:
    """The profile for H.273's code points; None where they name sRGB (or BT.709), or nothing known.

    HDR is shown with its diffuse white (203 cd/m²) near the top and the lights above rolled off.
    """
    corners = _PRIMARIES.get(primaries) if isinstance(primaries, int) else None
    if corners is None:
        return None
    match transfer:
        case 16:
            return matrix_profile(corners, _toned(pq_to_nits))
        case 18:
            return matrix_profile(corners, _toned(hlg_to_nits))
        case _ if corners is SRGB_PRIMARIES:
            return None
        case _:
            return matrix_profile(corners, srgb_curve())


def pq_to_nits(value: float) -> float:
    """Display light in cd/m² of a PQ signal from 0 to 1 (SMPTE ST 2084)."""
    power = value ** (1 / 78.84375)
    return float(
        10000 * (max(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
    )


def hlg_to_nits(value: float) -> float:
    """Display light in cd/m² of an HLG signal from 0 to 1 on a 1000 cd/m² display (ITU-R BT.2100)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = value * value / 3 if value <= 0.5 else (2.718281828459045 ** ((value - c) / a) + b) / 12
    return float(1000 * scene**1.2)


def _toned(to_nits: Callable[[float], float]) -> tuple[int, ...]:
    return tuple(
        round(65535 * _roll_off(to_nits(step / (_STEPS - 1)) / _PAPER_WHITE)) for step in range(_STEPS)
    )


def _roll_off(light: float) -> float:
    """Linear up to 0.6 of diffuse white, then smoothly towards 1."""
    knee = 0.6
    if light <= knee:
        return light
    over = (light - knee) / (1 - knee)
    return knee + (1 - knee) * over / (1 + over)
