"""Experiments: the composition root, the loop over rounds, and what a run leaves behind."""
