"""The shortcut probes of an audit, in words: shared by the audit page and the report."""

from __future__ import annotations

from overread.pages.texts import Said, say

# Verdicts that say a shortcut is there, or may be.
FAILED = ("fail", "warn", "shortcut", "suspicious", "bad")
KNOWN = ("size", "aspect", "format", "jpeg", "border", "source", "site", "folder", "name", "text")


def probe_name(probe: str) -> Said | str:
    """The words for a probe; one not known here keeps its own name."""
    word = next((known for known in KNOWN if known in probe.lower()), None)
    return say(f"probe.{word}") if word else probe.replace("_", " ")
