"""A run as one value: its settings and figures, and what can be done with it."""

from __future__ import annotations

import functools
import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ecct_tf.config import EngineName, RunConfig, data_title
from ecct_tf.data import Dataset, load_dataset
from ecct_tf.errors import ConfigError
from ecct_tf.installation import require, require_engine
from ecct_tf.parts import Part
from ecct_tf.quiet import quiet_tensorflow
from ecct_tf.reporting import read_runs, write_report
from ecct_tf.reporting.run import read_run
from ecct_tf.simulation.run_folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

    from ecct_tf.runs.models import RunModels
    from ecct_tf.runs.recommendations import Recommendations
    from ecct_tf.runs.scoring import RunScores
    from ecct_tf.simulation.loop import Callback
    from mobile_export.making.export import ExportedFile

__all__ = ["Run", "open_run"]

# Of `results.csv`, what a short table shows; K is in the column `k`.
_FIGURES = {"hr": "HR@{k}", "ndcg": "NDCG@{k}", "mrr": "MRR", "auc": "AUC"}


class Run:
    """A run folder and its data.

    Nothing is read before it is asked for. Models are opened at the newest checkpoint and kept,
    so that the first recommendation takes longer than the next ones.

    Example:
      >>> import tempfile
      >>> import ecct_tf as ecct
      >>> small = {"data.synthetic_users": 8, "baselines": False}
      >>> folder = tempfile.mkdtemp() + "/run"
      >>> run = ecct.simulate("synthetic", method="popularity", out=folder, settings=small)
      >>> run.status, run.config.method, list(run.results["model"])
      ('complete', 'popularity', ['popularity'])
      >>> len(run.recommend("3", k=5))
      5
    """

    def __init__(self, path: str | Path, *, data: Dataset | None = None) -> None:
        """Opens the run.

        Args:
          path: the run folder.
          data: its data, where a program handed it over.

        Raises:
          RunFolderError: when `path` is no run folder.
          ConfigError: when its configuration cannot be read, or `data` is no data set.
        """
        if not isinstance(data, Dataset | None):
            raise ConfigError(
                f"data: expected a Dataset or None, got {type(data).__name__}; from_frames makes "
                "a Dataset of tables"
            )
        self._folder = RunFolder.open(Path(path))
        self._given = data

    @property
    def path(self) -> Path:
        """The run folder."""
        return self._folder.path

    @property
    def config(self) -> RunConfig:
        """Every setting, resolved."""
        return self._folder.config

    @property
    def status(self) -> str:
        """`running`, `interrupted`, `failed` or `complete`; a killed run stays `running`."""
        return self._folder.status

    @property
    def metrics(self) -> pd.DataFrame:
        """A row for each round as a pandas frame: loss, bytes, validation quality.

        Empty before the first round is finished, and of a method without rounds.
        """
        import pandas as pd

        found = read_run(self.path).metrics
        return pd.DataFrame() if found is None else found

    @property
    def results(self) -> pd.DataFrame:
        """A row for each model as a pandas frame: test quality; empty before the end."""
        import pandas as pd

        found = read_run(self.path).results
        return pd.DataFrame() if found is None else found

    @functools.cached_property
    def data(self) -> Dataset:
        """The data of the run; raises `DataError` where a program must hand it over."""
        if self._given is not None:
            return self._given
        return load_dataset(self.config.data, seed=self.config.seed, opened=True)

    def recommend(
        self, user: str | int, k: int = 10, *, side: Literal["edge", "cloud"] | str | None = None
    ) -> Recommendations:
        """The best items of the whole catalog for a user, as at the moment of the test.

        Items that the user had met before the tested interaction are left out; they stand
        beside, the newest first. The edge answers with the weights of the user's own device, the
        cloud's last downlink to it and the history that it holds; the cloud with what it knows.

        A user with too few interactions to have a device in the run is served as a new device
        would be: with starting weights, the downlink of the mean user and all of their history;
        `note` of the answer says so.

        Args:
          user: their id.
          k: how many items.
          side: `edge` or `cloud`; None for the edge, or the one model that the run has.

        Raises:
          DataError: when there is no such user, or they take no part in the run and it has no
            model for a new user.
          ConfigError: when `k` is below 1, or the run has no model of that side.
          ExportError: when the run has no checkpoint, or other data.
        """
        self._need("cloud", "recommend")
        from ecct_tf.runs.recommender import recommend

        return recommend(self._scores, user, k=k, side=side)

    def report(self, out: str | Path | None = None, *, against: str | None = None) -> Path:
        """Writes what the run reached as one HTML file that needs no network.

        Args:
          out: the file; by default `report.html` in the run folder.
          against: the baseline to begin with, by its name in the report; None for the strongest.

        Returns:
          The file.

        Raises:
          RunFolderError: when the run is not complete.
        """
        file = self.path / "report.html" if out is None else Path(out)
        return write_report(read_runs([self.path]), file, named=[self.path], against=against)

    def export(
        self,
        out: str | Path,
        *,
        variants: Sequence[str] | None = None,
        tier: str | None = None,
        user: str | int | None = None,
        new_device: bool = False,
        static: tuple[int, int] | None = None,
        overwrite: bool = False,
    ) -> list[ExportedFile]:
        """Writes the run's edge models as files for phones, with a manifest and a model card.

        Args:
          out: folder; made when it is missing.
          variants: kinds of file, see `mobile_export.making.variants.VARIANTS`; None for
            the one that has the item table as devices received it.
          tier: the one to export; None for every one of the run, or that of the user's device.
          user: id of the user whose device's own weights to export; None for the mean.
          new_device: whether to export what a device that has not trained begins with.
          static: training rows B and candidates C of additional files of fixed shapes.
          overwrite: whether files of another run in `out` may be replaced.

        Returns:
          The files, tier by tier.

        Raises:
          ConfigError: when a variant is unknown.
          ExportError: when the run has no such model, or `out` holds files of another run.
          DataError: when there is no such user.
        """
        self._need("cloud", "export")
        from ecct_tf.runs.exporting import export_models
        from ecct_tf.runs.users import user_number

        models = self._models
        number = None if user is None else user_number(models.experiment, user)
        return list(
            export_models(
                models,
                Path(out),
                variants=variants,
                tier=tier,
                user=number,
                new_device=new_device,
                static=static,
                overwrite=overwrite,
            )
        )

    def resume(
        self, *, engine: EngineName | None = None, callbacks: Sequence[Callback] = ()
    ) -> Run:
        """Goes on with a run that was interrupted or killed, to the result of an undisturbed one.

        Args:
          engine: what computes the rest of the rounds, `tff` or `local`, instead of the run's
            `runtime.engine`; with another than before the result is the same but for rounding.
          callbacks: further watchers of the rounds.

        Returns:
          The run, at its end.

        Raises:
          RunFolderError: when it is complete, or another process is at it.
          DataError: when a program must hand over the data: `open_run(path, data=...)`.
          CheckpointError: when all checkpoints are damaged, or the data is other data.
        """
        require_engine(engine or self.config.runtime.engine, by="`Run.resume`")
        quiet_tensorflow()
        from ecct_tf.simulation.simulate import resume

        resume(self.path, dataset=self._given, callbacks=callbacks, engine=engine)
        return Run(self.path, data=self._given)

    def __repr__(self) -> str:
        if not self._ended:
            return self._heading
        return f"{self._heading}\n{self._table.to_string(index=False, na_rep='')}"

    def _repr_html_(self) -> str:
        table = self._table.to_html(index=False, border=0, na_rep="") if self._ended else ""
        return f"<p>{html.escape(self._heading)}</p>{table}"

    @property
    def _ended(self) -> bool:
        return self.status == "complete" and not self.results.empty

    @property
    def _heading(self) -> str:
        config = self.config
        data = data_title(config.data)
        return f"{config.method} on {data}, seed {config.seed}, {self.status}: {self.path}"

    @property
    def _table(self) -> pd.DataFrame:
        """The results in short, with the headings that the report has."""
        results = self.results
        k = int(results["k"].iloc[0])
        names = {name: heading.format(k=k) for name, heading in _FIGURES.items()}
        return results[["model", *names]].rename(columns=names).round(4)

    @functools.cached_property
    def _scores(self) -> RunScores:
        from ecct_tf.runs.scoring import RunScores

        return RunScores(self._folder, dataset=self.data)

    @functools.cached_property
    def _models(self) -> RunModels:
        from ecct_tf.runs.opening import open_models

        return open_models(self.path, dataset=self._given)

    def _need(self, part: Part, method: str) -> None:
        """Makes ready what a method works with, before it imports TensorFlow."""
        require(part, by=f"`Run.{method}`")
        quiet_tensorflow()


def open_run(path: str | Path, *, data: Dataset | None = None) -> Run:
    """Opens the run in the folder `path`, finished or not.

    Args:
      path: the run folder.
      data: the run's data, where a program handed it over; it must have the fingerprint that the
        run was filed with.

    Raises:
      RunFolderError: when `path` is no run folder.

    Example:
      >>> import ecct_tf as ecct
      >>> ecct.open_run("runs/nowhere")
      Traceback (most recent call last):
      ...
      ecct_tf.errors.RunFolderError: runs/nowhere is not a run folder: it is not a folder...
    """
    return Run(path, data=data)
