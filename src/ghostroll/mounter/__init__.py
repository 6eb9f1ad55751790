"""The privileged half: makes the mounts of one disk agree with what is in its slot. Standard library only."""
