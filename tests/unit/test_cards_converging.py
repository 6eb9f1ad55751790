"""Whatever life a few slots have, what is told of them comes to what is in: as properties."""

from hypothesis import given
from hypothesis import strategies as st
from replaying import RULES

from ghostroll.cards.mounts import Mount
from ghostroll.cards.reconcile import reconcile
from ghostroll.cards.sight import Active, CardRules, Insertion, Refusal, Seen, Why
from ghostroll.model import Volume

# Any life of a few slots, looked at now and then.
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["insert", "pull", "mount", "unmount", "refuse", "look"]),
        st.integers(0, 2),
        st.sampled_from([0.0, 0.05, 0.2, 3.0, 60.0]),
    ),
    max_size=60,
)


class Slots:
    """Three slots; what a look would see in each of them."""

    def __init__(self) -> None:
        self._diskseq = 1
        self._mounts = 0
        self.slots: dict[int, Seen] = {}

    def move(self, what: str, slot: int) -> None:
        """Do one thing to one slot, if it makes sense."""
        match what:
            case "insert":
                self._diskseq += 1
                self.slots[slot] = self._make(slot, self._diskseq, mounted=False, why=Why.NOT_MOUNTED)
            case "pull":
                self.slots.pop(slot, None)
            case "mount" if slot in self.slots:
                self._mounts += 1
                self.slots[slot] = self._make(
                    slot, self.slots[slot].insertion.diskseq, mounted=True, why=None
                )
            case "unmount" | "refuse" if slot in self.slots:
                why = Why.NOT_MOUNTED if what == "unmount" else Why.NOT_CAMERA
                self.slots[slot] = self._make(
                    slot, self.slots[slot].insertion.diskseq, mounted=False, why=why
                )

    def _make(self, slot: int, diskseq: int, *, mounted: bool, why: Why | None) -> Seen:
        mount = Mount(slot, b"/", b"/media/card", "vfat", b"", id=self._mounts) if mounted else None
        return Seen(
            Insertion(diskseq, f"/devices/{slot}"),
            f"sd{slot}",
            Volume(None, "", 1, "vfat"),
            (mount,) if mount else (),
            mount,
            Refusal(why, "for a test") if why else None,
        )

    def cards(self) -> set[Insertion]:
        """The cards that are in."""
        return {seen.insertion for seen in self.slots.values() if seen.mount}


@given(MOVES)
def test_whatever_happens_it_converges(moves: list[tuple[str, int, float]]) -> None:
    """However looks and moves fall, no card arrives twice or leaves unknown, and in the end all that is in has arrived."""
    slots, now = Slots(), 0.0
    active: Active | None = None
    inside: dict[Insertion, Mount | None] = {}
    said: set[tuple[Insertion, Why]] = set()
    read: set[Insertion] = set()

    def look() -> None:
        nonlocal active
        there = set(slots.cards())
        changes, active = reconcile(tuple(slots.slots.values()), active, now, RULES)
        for card in changes.left:
            assert inside.pop(card.insertion) == card.mount
        for card in changes.arrived:
            assert card.insertion not in inside
            assert card.insertion in there
            inside[card.insertion] = card.mount
        assert inside.keys() <= there
        for card in changes.refused:
            assert card.refusal is not None
            assert (card.insertion, card.refusal.why) not in said
            said.add((card.insertion, card.refusal.why))
        read.update(card.insertion for card in changes.arrived)
        assert changes.due is None or changes.due > now

    for what, slot, seconds in moves:
        now += seconds
        if what == "look":
            look()
        else:
            slots.move(what, slot)
    look()
    now += RULES.patience + RULES.debounce
    look()
    assert inside.keys() == slots.cards()
    for seen in slots.slots.values():
        if seen.refusal is not None and (seen.insertion, seen.refusal.why) not in said:
            assert seen.refusal.why is Why.NOT_MOUNTED
            assert seen.insertion in read, "only who was read and ejected is not mentioned"
    told = len(said)
    look()
    assert len(said) == told
    slots.slots.clear()
    look()
    assert inside == {}
    assert active == Active(), "a daemon lives for months"


@given(st.lists(st.floats(0, 0.19), max_size=20))
def test_a_medium_that_does_not_stay_was_never_in(gaps: list[float]) -> None:
    """Contacts that bounce while a card is pushed in bring nothing forth until one stays for the debounce."""
    slots, now = Slots(), 0.0
    rules = CardRules(library=b"/", debounce=0.2)
    _, active = reconcile((), None, now, rules)
    for gap in gaps:
        slots.move("insert", 0)
        slots.move("mount", 0)
        changes, active = reconcile(tuple(slots.slots.values()), active, now, rules)
        assert not changes
        now += gap
    slots.move("insert", 0)
    slots.move("mount", 0)
    _, active = reconcile(tuple(slots.slots.values()), active, now, rules)
    changes, active = reconcile(tuple(slots.slots.values()), active, now + 0.3, rules)
    assert [card.insertion for card in changes.arrived] == [slots.slots[0].insertion]
