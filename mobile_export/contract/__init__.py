"""The contract of an exported file: its signatures, the task it repeats, and its uplink as bytes.

Export, device and checks all read it; it needs neither TensorFlow nor a runtime.
"""
