"""What the configuration says about cards, as detection wants it: pure."""

import os

from ghostroll.cards.sight import CardRules
from ghostroll.config import Settings


def make_card_rules(settings: Settings) -> CardRules:
    """The rules that a watcher sees by. `cards.rescan_seconds` is not part of them: the watcher itself takes it."""
    cards = settings.cards
    return CardRules(
        library=os.fsencode(settings.library.path),
        state=os.fsencode(settings.state_path),
        markers=cards.markers,
        allow=frozenset(cards.allow),
        deny=frozenset(cards.deny),
        readers=cards.readers,
        filesystems=frozenset(cards.filesystems),
        mount_roots=tuple(os.fsencode(os.path.normpath(root)) for root in cards.mount_roots),
        debounce=cards.debounce_ms / 1000,
        patience=float(cards.patience_seconds),
    )
