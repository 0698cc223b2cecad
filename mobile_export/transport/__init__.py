"""How a device in Python talks to `ecct cloud serve`: fetch, take part, answer, also after weeks.

`HttpTransport` alone knows HTTP; anything with its one method serves in its place.
`CloudClient` fetches what is published, resuming where a connection broke, and sends answers.
`Spool` keeps answers on the disk until the cloud has confirmed them. `take_part` is a whole round.
`DeviceHome` is a device's folder, in which a new one begins with what the cloud offers.
It needs the standard library and what the device itself needs, no TensorFlow.
"""

from mobile_export.transport.client import CloudClient, Sent
from mobile_export.transport.home import DeviceHome, OwnData
from mobile_export.transport.http import Answer, HttpTransport, Transport
from mobile_export.transport.retrying import Retries
from mobile_export.transport.rounds import RoundReport, take_part
from mobile_export.transport.spool import Spool, SpoolReport

__all__ = [
    "Answer",
    "CloudClient",
    "DeviceHome",
    "HttpTransport",
    "OwnData",
    "Retries",
    "RoundReport",
    "Sent",
    "Spool",
    "SpoolReport",
    "Transport",
    "take_part",
]
