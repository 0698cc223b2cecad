"""Losses of one's own for the devices of ECCT-TF."""
