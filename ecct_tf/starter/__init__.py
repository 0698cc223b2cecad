"""The starter project that `ecct new` makes: sample data, its schema, a run and a notebook."""

from ecct_tf.starter.project import create_project

__all__ = ["create_project"]
