"""A device in Python, which does with an exported file what a phone does.

It needs LiteRT and NumPy, no TensorFlow.
"""

from mobile_export.device.device import Device
from mobile_export.device.fleet import DeviceFleet
from mobile_export.device.migration import Adopted, Migration
from mobile_export.device.model import DeviceModel
from mobile_export.device.state import DeviceState, ReceivedDownlink
from mobile_export.device.training import TrainingPlan, TrainingReport

__all__ = [
    "Adopted",
    "Device",
    "DeviceFleet",
    "DeviceModel",
    "DeviceState",
    "Migration",
    "ReceivedDownlink",
    "TrainingPlan",
    "TrainingReport",
]
