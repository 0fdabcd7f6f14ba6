"""overread: a folder of labelled medical images in; an honest report and one portable file out."""

__version__ = "0.1.0"
