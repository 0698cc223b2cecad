"""The study that a name stands for: the library's, a package's, or `module:name`."""

from ecct_tf.config.study_names import study_target
from ecct_tf.errors import ConfigError
from ecct_tf.plugins import find_function, guarded
from ecct_tf.studies.study import Study

__all__ = ["find_study"]


def find_study(name: str) -> Study:
    """Calls the function that the name stands for; imports its module.

    Raises:
      ConfigError: nothing has the name; the module cannot be imported; or its function fails, or
        returns no study.

    Example:
      >>> find_study("ablation").reference
      'whole'
    """
    target, what = study_target(name), f"study {name!r}"
    function = find_function(target, what=what)
    with guarded(what, module=target.partition(":")[0]):
        found = function()
    if not isinstance(found, Study):
        raise ConfigError(
            f"{what}: expected {target} to return an ecct_tf.studies.Study, got "
            f"{type(found).__name__}"
        )
    return found
