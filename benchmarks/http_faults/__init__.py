"""Faults between devices and a service, at points that a seed draws, and what must hold after them.

A proxy stands between: it loses, repeats, delays and breaks off requests, kills the service or a
process of devices, fills the disk and revokes tokens when the request of a drawn number comes by.
What the service confirms and serves goes through it too, so that it knows what the log must hold.
"""
