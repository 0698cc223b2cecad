"""`ecct cloud`: the cloud's versions, jobs and publications."""

import click

from ecct_tf.commands.cloud_cycle import cycle
from ecct_tf.commands.cloud_erase import erase
from ecct_tf.commands.cloud_export import export
from ecct_tf.commands.cloud_forget import forget
from ecct_tf.commands.cloud_keys import keys
from ecct_tf.commands.cloud_log import log
from ecct_tf.commands.cloud_publish import publish
from ecct_tf.commands.cloud_retrain import retrain
from ecct_tf.commands.cloud_serve import serve
from ecct_tf.commands.cloud_token import token
from ecct_tf.commands.cloud_versions import gc, promote, rollback, versions
from ecct_tf.commands.groups import Group

__all__ = ["cloud"]


@click.group(cls=Group)
def cloud() -> None:
    """Run the cloud in production: train, publish and serve versions, erase users."""


for _command in (
    retrain,
    versions,
    promote,
    rollback,
    gc,
    publish,
    export,
    keys,
    serve,
    token,
    log,
    forget,
    erase,
    cycle,
):
    cloud.add_command(_command)
