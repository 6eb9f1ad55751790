"""What arrived and what left: pure. Level-triggered, so that a look which was missed costs time, not a card."""

from collections.abc import Mapping, Sequence

from ghostroll.cards.sight import PASSING, Active, CardRules, Changes, Insertion, Seen, Why


def reconcile(
    seen: Sequence[Seen], active: Active | None, now: float, rules: CardRules
) -> tuple[Changes, Active]:
    """Compare what is there with what was told; returns what to tell now, and what to remember.

    A card arrives once, after `rules.debounce` seconds in its slot, and leaves the moment that it is not
    there, is another medium, or is not mounted any more where it was; then it may arrive again. Of two
    cards in one slot the first has left in the same answer in which the second begins its debounce.
    None for `active` is the first look: what is there then was there before, and is not debounced.
    """
    before = active or Active()
    there = {volume.insertion: volume for volume in seen}
    since = _tell_since(seen, before, now if active is not None else now - rules.debounce)
    staying = {insertion: card for insertion, card in before.cards.items() if _is_still_in(card, there)}
    left = tuple(card for insertion, card in before.cards.items() if insertion not in staying)
    said = {(insertion, why) for insertion, why in before.said if insertion in there}
    arrived, refused, dues = [], [], []
    for insertion, volume in there.items():
        why = volume.refusal.why if volume.refusal else None
        if insertion in staying or (why is not None and (insertion, why) in said):
            continue
        ready_at = max(since[insertion, None] + rules.debounce, since[insertion, why] + _patience(why, rules))
        if now < ready_at:
            dues.append(ready_at)
        elif why is None:
            arrived.append(volume)
            said |= {(insertion, passing) for passing in PASSING}  # it was read; now somebody ejected it
        else:
            refused.append(volume)
            said.add((insertion, why))
    cards = staying | {volume.insertion: volume for volume in arrived}
    changes = Changes(tuple(arrived), left, tuple(refused), due=min(dues, default=None))
    return changes, Active(cards, since, frozenset(said))


def _tell_since(
    seen: Sequence[Seen], before: Active, now: float
) -> dict[tuple[Insertion, Why | None], float]:
    """Since when each volume is there, and since when it is refused for what it is refused for."""
    now_so = {(volume.insertion, volume.refusal.why if volume.refusal else None) for volume in seen}
    now_so |= {(volume.insertion, None) for volume in seen}
    return {key: before.since.get(key, now) for key in now_so}


def _patience(why: Why | None, rules: CardRules) -> float:
    return rules.patience if why in PASSING else 0.0


def _is_still_in(card: Seen, there: Mapping[Insertion, Seen]) -> bool:
    found = there.get(card.insertion)
    if found is None or card.mount is None:
        return False
    return card.mount.key in {mount.key for mount in found.mounts}
