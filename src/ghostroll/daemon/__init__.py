"""A station that lives by itself: cards go in, requests come, systemd is told."""
