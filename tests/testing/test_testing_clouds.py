"""The conformance kit for clouds finds planted faults, in clouds of NumPy and in towers."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cloud.features import item_attributes
from ecct_tf.cli import main
from ecct_tf.errors import CheckpointError
from ecct_tf.knowledge import Block, ItemTable
from ecct_tf.testing import (
    ConformanceError,
    check_trainable_cloud,
    cloud_findings,
    trainable_cloud_findings,
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_cloud"


class NumpyCloud:
    """All that a run asks of a cloud, in arrays: users move towards what devices like."""

    def __init__(self, view):
        draw = np.random.default_rng(0)
        self.view = view
        self.items = draw.normal(size=(view.num_items + 1, 3)).astype(np.float32)
        self.learned = draw.normal(size=(view.num_users, 3)).astype(np.float32)
        self.sent = self.learned.copy()

    def publish(self):
        rows = np.eye(self.view.num_items + 1, 2, dtype=np.float32)
        return ItemTable(
            blocks=(Block("hand", rows, rows),),
            attributes=item_attributes(self.view),
            cloud=self.items.copy(),
            bias=np.zeros(len(self.items), np.float32),
            feature_mean=np.zeros(5, np.float32),
            feature_scale=np.ones(5, np.float32),
        )

    def downlinks(self, users, **_when):
        return self.sent[users]

    def user_embeddings(self, users, *, knowledge, **_when):
        alone = self.learned[users]
        if knowledge is None:
            return alone
        heard = (knowledge.rounds[users] >= 0).astype(np.float32)
        return alone + heard[:, None] * knowledge.embeddings[users].mean(axis=1)

    def scores(self, users, candidates, *, knowledge, round_number):
        mine = self.user_embeddings(users, knowledge=knowledge, round_number=round_number)
        return np.einsum("nd,ncd->nc", mine, self.items[candidates])

    def queries(self, users, *, round_number):
        return np.stack(
            [
                1
                + np.random.default_rng([round_number, user]).integers(self.view.num_items, size=4)
                for user in users.tolist()
            ]
        ).astype(np.int32)

    def update(self, knowledge, **_how):
        liked = np.einsum("nq,nqd->nd", knowledge.logits, self.items[knowledge.items])
        self.learned = (self.learned + 0.01 * liked).astype(np.float32)
        return {"cloud_loss": float(np.square(liked).mean())}

    def snapshot(self):
        return {"learned": self.learned, "sent": self.sent}

    def restore(self, snapshot):
        if set(snapshot) != {"learned", "sent"}:
            raise CheckpointError(f"the snapshot does not fit: {sorted(snapshot)}")
        self.learned, self.sent = snapshot["learned"].copy(), snapshot["sent"].copy()


class DoubleDownlinks(NumpyCloud):
    def downlinks(self, users, **_when):
        return self.sent[users].astype(np.float64)


class MixesUsers(NumpyCloud):
    def downlinks(self, users, **_when):
        return self.sent[users] - self.sent[users].mean(axis=0)


class NotFinite(NumpyCloud):
    def __init__(self, view):
        super().__init__(view)
        self.sent[3] = np.nan


class ScoresItsOwnWay(NumpyCloud):
    def scores(self, users, candidates, **options):
        return super().scores(users, candidates, **options) + 0.5


class AsksBeyondTheCatalog(NumpyCloud):
    def queries(self, users, *, round_number):
        return super().queries(users, round_number=round_number) + 20


class AsksTheSame(NumpyCloud):
    def queries(self, users, **_when):
        return super().queries(users, round_number=0)


class LearnsNothing(NumpyCloud):
    def update(self, _knowledge, **_how):
        return {"cloud_loss": 1.0}


class LeaksToAll(NumpyCloud):
    def user_embeddings(self, users, *, knowledge, round_number):
        found = super().user_embeddings(users, knowledge=knowledge, round_number=round_number)
        return found if knowledge is None else found + knowledge.embeddings.mean()


class MovesItems(NumpyCloud):
    def update(self, knowledge, **options):
        self.items = self.items * np.float32(1.1)
        return super().update(knowledge, **options)


class Drifts(NumpyCloud):
    def update(self, knowledge, **options):
        measured = super().update(knowledge, **options)
        self.sent = self.learned * np.float32(-1)
        return measured


class IgnoresRestore(NumpyCloud):
    def restore(self, snapshot):
        NumpyCloud.restore(NumpyCloud(self.view), snapshot)


class TakesAnySnapshot(NumpyCloud):
    def restore(self, snapshot):
        super().restore({name: snapshot[name] for name in ("learned", "sent")})


class ForgetsItsDownlinks(NumpyCloud):
    def snapshot(self):
        return {"learned": self.learned, "sent": np.zeros_like(self.sent)}

    def restore(self, snapshot):
        sent = self.sent
        super().restore(snapshot)
        self.sent = sent if sent.any() else self.sent

    def update(self, knowledge, **options):
        self.sent = self.sent + np.float32(0.01)
        return super().update(knowledge, **options)


class DrawsAtRandom(NumpyCloud):
    def update(self, knowledge, **options):
        measured = super().update(knowledge, **options)
        noise = np.random.default_rng().normal(size=self.learned.shape)
        self.learned = (self.learned + 0.01 * noise).astype(np.float32)
        return measured


class ReadsPrivateColumns(NumpyCloud):
    def __init__(self, view):
        super().__init__(view)
        self.sent[:, 0] = view.users["town"].values


def test_a_cloud_of_numpy_passes():
    findings = check_trainable_cloud(NumpyCloud)
    assert [finding.check for finding in findings if finding.passed is None] == ["growth"]
    assert sum(finding.passed is True for finding in findings) == 10


@pytest.mark.parametrize(
    ("cloud", "check", "told"),
    [
        (ReadsPrivateColumns, "build", "PrivacyError.*'town' exists on the other side"),
        (DoubleDownlinks, "downlinks", "float32, got .* of float64"),
        (MixesUsers, "downlinks", "two users alone: off by"),
        (NotFinite, "downlinks", "downlinks: expected finite numbers"),
        (ScoresItsOwnWay, "scores", "off by up to 0.5"),
        (AsksBeyondTheCatalog, "queries", "name items"),
        (AsksTheSame, "queries", "every round asks about the same"),
        (LearnsNothing, "learning", "changes nothing"),
        (LeaksToAll, "fusion", "of users who sent nothing"),
        (MovesItems, "stays readable", "item side learned after publication"),
        (Drifts, "stays readable", "downlinks drift by"),
        (IgnoresRestore, "restore", "the same cloud answers otherwise"),
        (TakesAnySnapshot, "restore", "was taken, not refused"),
        (ForgetsItsDownlinks, "restore", "not in the snapshot"),
        (DrawsAtRandom, "repeatable", "random numbers"),
    ],
)
def test_a_planted_fault_is_found(cloud, check, told):
    findings = {finding.check: finding for finding in trainable_cloud_findings(cloud)}
    assert findings[check].passed is False
    assert re.search(told, findings[check].told), findings[check].told
    with pytest.raises(ConformanceError, match=f"cloud '{cloud.__name__}' failed"):
        check_trainable_cloud(cloud)


def test_the_kit_for_edge_models_needs_no_part_of_the_cloud():
    code = (
        "import sys; sys.modules['tensorflow_recommenders'] = None\n"
        "from ecct_tf.testing import check_edge_model; check_edge_model"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_what_lacks_a_method_is_none():
    findings = trainable_cloud_findings(lambda _: object())
    assert "lacks ['downlinks', 'publish'" in findings[0].told
    assert {finding.passed for finding in findings[1:]} == {None}


def test_towers_that_ask_for_what_is_private_are_found():
    def build(spec):
        return spec.query_inputs("town")

    finding = cloud_findings(build)[0]
    assert (finding.check, finding.passed) == ("build", False)
    assert "federated ones stay on their devices" in finding.told


@pytest.mark.slow
@pytest.mark.parametrize("name", ["own_cloud:build", "ecct"])
def test_the_command_passes_the_library_s_cloud_and_the_example(name, monkeypatch, capsys):
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["ecct", "check", "cloud", name])
    main()
    assert capsys.readouterr().out.count("passed") == 11


def test_the_command_names_what_there_is_and_fails_with_what_failed(monkeypatch, capsys, tmp_path):
    (tmp_path / "private_cloud.py").write_text(
        "def build(spec):\n    return spec.query_inputs('town')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name, code, words in (
        ("private_cloud:build", 1, "federated ones stay on their devices"),
        ("etcc", 2, "did you mean ecct?"),
    ):
        monkeypatch.setattr(sys, "argv", ["ecct", "check", "cloud", name])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == code
        printed = capsys.readouterr()
        assert words in " ".join(f"{printed.out} {printed.err}".replace("│", " ").split())
