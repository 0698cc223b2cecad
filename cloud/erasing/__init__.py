"""Erases users from all that the cloud keeps: what `ecct cloud erase` does.

`find_users` says by which numbers the cloud knows them, `plan` lists the steps, `erase` takes
them. Each step looks at what is there and leaves nothing of the users in its place, so that a call
that was interrupted is made good by the next one: the same steps, those that were done being gone.
"""

from cloud.erasing.erase import Erasure, erase, plan
from cloud.erasing.places import Places, Step
from cloud.erasing.users import FoundUser, find_users

__all__ = ["Erasure", "FoundUser", "Places", "Step", "erase", "find_users", "plan"]
