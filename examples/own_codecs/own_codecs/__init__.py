"""Codecs of one's own for what crosses between the devices and the cloud of ECCT-TF."""
