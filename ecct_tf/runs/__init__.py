"""Runs that are there: their models, what these recommend, and the files that are made of them."""
