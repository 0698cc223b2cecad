"""What devices talk to: a publication to read, a log to answer into, over HTTP.

`TokenStore` says which device a request comes from. `Offers` are the files of a publication, each
whole or not at all, and of the downlinks a device's own alone. `Intake` appends answers to the
uplink log, many in one file, and says so when they are on the disk. `service_app` puts these
behind routes; only that and `serve` need Starlette and uvicorn. No TensorFlow here.
"""

from cloud.service.intake import BusyError, Intake, Receipt
from cloud.service.ledger import Ledger
from cloud.service.offers import Offer, Offers
from cloud.service.tokens import Grant, TokenStore

__all__ = ["BusyError", "Grant", "Intake", "Ledger", "Offer", "Offers", "Receipt", "TokenStore"]
