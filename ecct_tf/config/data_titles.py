"""What people call the data of a run."""

from pathlib import Path

from ecct_tf.config.data import DataConfig
from ecct_tf.config.parsing import read_mapping
from ecct_tf.errors import ConfigError

__all__ = ["data_title"]


def data_title(data: DataConfig) -> str:
    """The data's name: of own files the one in their schema, or the schema file's where it is gone.

    >>> data_title(DataConfig()), data_title(DataConfig(dataset="files", schema="gone/shop.yaml"))
    ('movielens-100k', 'shop')
    """
    if data.schema is None:
        return data.name or data.dataset
    schema = Path(data.schema)
    try:
        name = read_mapping(schema).get("name")
    except ConfigError:
        name = None
    return name if isinstance(name, str) and name else schema.stem
