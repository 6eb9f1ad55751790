"""Claim, run, settle. The engine knows tasks and verdicts, but no stage by name and no table."""
