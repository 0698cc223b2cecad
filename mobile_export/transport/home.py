"""What a device keeps on its disk, and how it begins: from its app's data and the cloud's files."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ecct_tf.config import CodecName
from ecct_tf.errors import DeviceError, TransportError
from ecct_tf.files import write_text
from ecct_tf.wire.signing import PublicKey
from mobile_export.device import Device, DeviceModel
from mobile_export.device.state import read_state
from mobile_export.runtime.interpreter import Runtime
from mobile_export.transport.client import CloudClient
from mobile_export.transport.http import Transport
from mobile_export.transport.retrying import Retries
from mobile_export.transport.spool import Spool

__all__ = ["DeviceHome", "OwnData"]


@dataclasses.dataclass(frozen=True)
class OwnData:
    """What an app knows of its user before the cloud is asked; it never leaves the device.

    Attributes:
      user: the number by which the cloud knows the user.
      model: name of the exported file that the device runs.
      history: row numbers of items, oldest first.
      times: when each was, seconds since 1970.
      profile: rows of the private columns.
      num_older: how many of `history` the cloud knows too.
      context: what came of each of `history`, by column of the file; None where it is unknown.
      codec: through which the device exchanges, where that is a custom one; see `DeviceModel`.
    """

    user: int
    model: str
    history: tuple[int, ...] = ()
    times: tuple[float | None, ...] = ()
    profile: tuple[int, ...] = ()
    num_older: int = 0
    context: Mapping[str, Sequence[str | None]] = dataclasses.field(default_factory=dict)
    codec: CodecName | None = None


class DeviceHome:
    """The folder of one device: its user's data, token, state, what it fetched, what waits.

    Attributes:
      folder: of all of it, for its owner alone.
      state: file of the device's state.
      spool: folder of the answers that wait.

    Args:
      folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "device.state"
        self.spool = folder / "spool"
        self._own = folder / "own.json"
        self._token = folder / "token"
        self._cache = folder / "cache"

    def settle(self, own: OwnData) -> None:
        """Puts the app's data there, before the device begins."""
        write_text(self._own, json.dumps(dataclasses.asdict(own)) + "\n", private=True)

    def log_in(self, token: str) -> None:
        """Keeps a token in place of the one before."""
        write_text(self._token, token + "\n", private=True)

    @property
    def is_settled(self) -> bool:
        """Whether the app's data are there."""
        return self._own.exists()

    @property
    def is_logged_in(self) -> bool:
        """Whether there is a token, valid or not."""
        return self._token.exists()

    @property
    def own(self) -> OwnData:
        """The app's data.

        Raises:
          DeviceError: there are none, or they are damaged.
        """
        try:
            found: dict[str, Any] = json.loads(self._own.read_text(encoding="utf-8"))
            for name in ("history", "times", "profile"):
                found[name] = tuple(found[name])
            return OwnData(**found)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DeviceError(
                f"{self._own}: expected what `DeviceHome.settle` writes: {error!r}"
            ) from error

    def client(
        self,
        transport: Transport,
        *,
        retries: Retries | None = None,
        keys: Sequence[PublicKey] = (),
    ) -> CloudClient:
        """A client with the device's token.

        Args:
          transport: to the service.
          retries: how often a request is tried.
          keys: of whom publications must be signed by, one of them.

        Raises:
          DeviceError: it has none.
        """
        try:
            token = self._token.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise DeviceError(f"{self._token}: expected a token: {error}; log in first") from error
        return CloudClient(transport, token, cache=self._cache, retries=retries, keys=keys)

    def answers(self) -> Spool:
        """The answers that wait."""
        return Spool(self.spool)

    def device(
        self, client: CloudClient, *, runtime: Runtime, clock: Callable[[], float]
    ) -> Device:
        """The device; a new one begins with the file and the starting weights that are offered.

        A kill while it begins leaves no state, or the one of the new device.

        Args:
          client: of the cloud.
          runtime: what runs the file.
          clock: the device's own, seconds since 1970.

        Raises:
          TransportError: something has to be fetched and cannot be.
          DeviceError: what is fetched does not fit the device, or its state is damaged.
        """
        own = self.own
        if self.state.exists():
            known = self._model(read_state(self.state).model, own.model)
            if known.exists():
                return Device(
                    self.state, DeviceModel(known, runtime=runtime, codec=own.codec), clock=clock
                )
            # What was fetched is lost; the newest file takes over the state.
            model = DeviceModel(client.model(own.model), runtime=runtime, codec=own.codec)
            return Device.adopt(self.state, model, clock=clock)
        publication = client.current()
        model = DeviceModel(client.model(own.model), runtime=runtime, codec=own.codec)
        if model.file.table_sha256 != publication.item_table.sha256:
            raise TransportError(
                f"{own.model}: expected a file with the published item table "
                f"{publication.item_table.sha256[:16]}…, the cloud offers one with "
                f"{model.file.table_sha256[:16]}…; export it anew"
            )
        return Device.create(
            self.state,
            model,
            user=own.user,
            history=own.history,
            profile=own.profile,
            num_older=own.num_older,
            times=own.times or None,
            context=own.context,
            start=client.start(publication, model.file.architecture),
            clock=clock,
        )

    def forget(self) -> None:
        """Removes all of it: state, the app's data, token, what was fetched and what waits.

        A kill leaves all of it, or nothing that a device opens: the next call removes the rest.
        What has left the device in answers is the cloud's to forget (`ecct cloud erase`), which
        ends its token, too.
        """
        leaving = self.folder.with_name(f".{self.folder.name}.forgotten")
        if leaving.exists():
            shutil.rmtree(leaving)
        if self.folder.exists():
            # Before half of it is gone, so that no device begins with what is left.
            self.folder.rename(leaving)
            shutil.rmtree(leaving)

    def sweep(self, device: Device) -> None:
        """Removes fetched model files other than the one that the device runs."""
        kept = self._model(device.model.file.sha256, self.own.model).parent
        for folder in self._cache.iterdir():
            if folder.is_dir() and folder != kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _model(self, sha256: str, name: str) -> Path:
        return self._cache / sha256[:16] / name
