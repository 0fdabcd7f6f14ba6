"""Fixtures that the tests of several folders share."""

from __future__ import annotations

from run_folder import run_maker, sample_run, table_maker, whole_run
from tiny_training import make_manifest, tiny

__all__ = ["make_manifest", "run_maker", "sample_run", "table_maker", "tiny", "whole_run"]
