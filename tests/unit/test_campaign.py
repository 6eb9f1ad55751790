"""The campaign's counts: what is printed is what was done."""

from campaign import sum_counts


def test_counts_are_summed_by_name() -> None:
    """Several workers of a run append to one file; each name's numbers are added."""
    lines = ["3\tkills", "1\tcuts of power", "4\tkills"]
    assert sum_counts(lines) == {"kills": 7, "cuts of power": 1}
