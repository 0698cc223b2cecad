import subprocess
import sys

import ecct_tf.data


def test_all_is_true():
    assert len(set(ecct_tf.data.__all__)) == len(ecct_tf.data.__all__)
    for name in ecct_tf.data.__all__:
        assert getattr(ecct_tf.data, name) is not None


def test_importing_is_light():
    code = (
        "import sys, ecct_tf.data; "
        "print([m for m in ('tensorflow', 'pandas', 'pooch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
