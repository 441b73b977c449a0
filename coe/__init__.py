"""Serve a composition of open language models as if it were one model."""

__version__ = "0.1.0"
