"""Declared traffic made ready to run: texts with values, requests as bytes, checks of answers, rows of data, picks.

Nothing here knows Locust, sockets or clocks: `child/declared.py` makes the user of it.
"""
