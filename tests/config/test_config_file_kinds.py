"""A file of one kind given in place of another: which kind it is, and what was expected."""

import dataclasses

import pytest

from cloud.retraining import JobConfig
from cloud.retraining.config import load_job_config
from ecct_tf.config import RunConfig, dump_config, load_config
from ecct_tf.config.file_kinds import _KINDS
from ecct_tf.cycle.config import CycleConfig, load_cycle_config
from ecct_tf.data.files_schema import FilesSchema, read_files_schema
from ecct_tf.errors import ConfigError

READ = {
    "run": load_config,
    "cycle": load_cycle_config,
    "job": load_job_config,
    "schema": read_files_schema,
}
KIND = dict(zip(READ, _KINDS, strict=True))
TEXT = {
    "run": dump_config(RunConfig()),
    "cycle": dump_config(CycleConfig()),
    "job": dump_config(JobConfig(registry="registry")),
    "schema": "name: shop\ninteractions: {path: a.csv}\n",
}


@pytest.mark.parametrize("given", TEXT)
@pytest.mark.parametrize("wanted", READ)
def test_a_file_of_another_kind_is_told(given, wanted, tmp_path):
    path = tmp_path / "it.yaml"
    path.write_text(TEXT[given], encoding="utf-8")
    if given == wanted:
        READ[wanted](path)
        return
    words = rf"unknown key \w+, which belongs to {KIND[given]}.* Expected {KIND[wanted]}, with the"
    with pytest.raises(ConfigError, match=rf"it\.yaml: {words}"):
        READ[wanted](path)


def test_the_keys_are_those_of_one_kind():
    kinds = zip(_KINDS.values(), (RunConfig, CycleConfig, JobConfig, FilesSchema), strict=True)
    for keys, own in kinds:
        for kind in (RunConfig, CycleConfig, JobConfig, FilesSchema):
            names = {field.name for field in dataclasses.fields(kind)}
            assert names.isdisjoint(keys) == (kind is not own)
            assert kind is not own or names >= {*keys}


def test_a_near_name_is_still_proposed(tmp_path):
    path = tmp_path / "it.yaml"
    path.write_text("rounds: 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"a run's .*; did you mean rounds_per_cycle\? Expected"):
        load_cycle_config(path)
