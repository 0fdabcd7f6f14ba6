"""Copies of images, byte-identical or altered, found whatever their files are called."""

from overread.dataset.duplicates.find import CopyPair, available, find_copies

__all__ = ["CopyPair", "available", "find_copies"]
