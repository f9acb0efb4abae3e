"""Contourdesk: contour review for radiotherapy. Not a medical device."""

__version__ = "0.1.0"
