"""What can be seen of the work: counts, status, log lines, progress bars. Nothing is decided here."""
