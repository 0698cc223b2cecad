"""The distribution `ecct-tf`: packages, extras and the `ecct` command."""

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


def _version() -> str:
    """Reads `__version__` as text: importing the package would need its dependencies."""
    text = (ROOT / "ecct_tf" / "version.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, flags=re.MULTILINE)
    if found is None:
        raise RuntimeError('expected a line `__version__ = "..."` in ecct_tf/version.py')
    return found.group(1)


def _long_description() -> str:
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


LOCKS = {"requirements.lock": "simulation.lock", "requirements/current.lock": "current.lock"}


class BuildWithLocks(build_py):
    """Puts the lock files into the wheel, for `ecct doctor` there; a clone has them at its root."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for source, name in LOCKS.items():
            target = Path(self.build_lib) / "ecct_tf" / "lock_files" / name
            self.mkpath(str(target.parent))
            self.copy_file(str(ROOT / source), str(target))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        folder = Path(self.build_lib) / "ecct_tf" / "lock_files"
        locks = [] if self.editable_mode else [str(folder / name) for name in LOCKS.values()]
        return [*super().get_outputs(include_bytecode), *locks]


# Light on purpose: what the command line, the data layer and `ecct doctor` need.
BASE = [
    "click>=8.1",
    "dacite>=1.8",
    "jinja2>=3.1",
    "matplotlib>=3.7",
    "numpy>=1.25",
    "packaging>=22.0",
    "pandas>=2.0",
    "platformdirs>=4.0",
    "pooch>=1.8",
    "pyyaml>=6.0",
    "rich>=13.0",
    "scikit-learn>=1.3",
    "scipy>=1.9.3",
    "tqdm>=4.64",
]

# TFF 0.87.0 exists for Python 3.11 and older only, and pins a jaxlib that was
# withdrawn: pip alone cannot resolve this extra. Use `make install` (the hashed
# lock), or uv, which reads the override in pyproject.toml.
ONLY_TFF_PYTHON = '; python_version < "3.12"'
SIMULATION = [
    "tensorflow==2.14.1" + ONLY_TFF_PYTHON,
    "tensorflow-federated==0.87.0" + ONLY_TFF_PYTHON,
    # The simulated cloud is the package `cloud`.
    "tensorflow-recommenders>=0.7.7" + ONLY_TFF_PYTHON,
    "grpcio>=1.46",
    "portpicker>=1.5",
    # Reads Parquet files. 22 and newer need NumPy 2 when imported, without declaring it.
    "pyarrow>=12,<=21" + ONLY_TFF_PYTHON,
    # The checksums of the uplink log: of a TFRecord file's frames, and of records.
    "google-crc32c>=1.6",
    "isal>=1.7",
    # TensorBoard 2.14 imports pkg_resources, which newer ones warn about, then lack.
    "setuptools>=77,<80.9" + ONLY_TFF_PYTHON,
]

# Cloud jobs and the export also run on current TensorFlow with Keras 2
# (TF_USE_LEGACY_KERAS=1), hence no upper bound.
CLOUD = [
    "google-crc32c>=1.6",
    "isal>=1.7",
    "pyarrow>=12",
    "tensorflow>=2.14.1",
    "tensorflow-recommenders>=0.7.7",
    "tf-keras>=2.15",
]
# The simulation without TFF (`runtime.engine=local`): its cloud is the package `cloud`.
LOCAL = CLOUD
# Approximate retrieval. Each ScaNN is built for one TensorFlow, which its own extra names: an
# environment of its own.
SCANN = [*CLOUD, "scann[tf]>=1.4.2"]
# Jobs as pipelines of Apache Beam, which TFF's pins refuse.
BEAM = [*CLOUD, "apache-beam>=2.70"]
EXPORT = ["tensorflow>=2.14.1"]
# The runtime of phones: `mobile_export.device` needs nothing else, not even TensorFlow.
LITERT = ["ai-edge-litert>=2.3"]
# The service that devices talk to.
SERVE = [
    "cryptography>=42",
    "google-crc32c>=1.6",
    "isal>=1.7",
    "pyarrow>=12",
    "starlette>=0.40",
    "uvicorn>=0.30",
]
NOTEBOOKS = [
    "ipykernel",
    # Newer ones need a typing-extensions that TFF 0.87 refuses.
    "ipython<8.23",
    "matplotlib>=3.7",
    "nbclient",
    "nbconvert",
    "nbformat",
]
DEV = [
    "hypothesis",
    "mypy",
    "psutil",
    "pytest>=8.2",
    "pytest-xdist",
    "ruff",
    "types-PyYAML",
    "types-tqdm",
]

setup(
    cmdclass={"build_py": BuildWithLocks},
    name="ecct-tf",
    version=_version(),
    description="Edge-cloud collaborative training of recommenders with TensorFlow Federated",
    long_description=_long_description(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.14",
    packages=find_packages(
        include=["ecct_tf", "ecct_tf.*", "cloud", "cloud.*", "mobile_export", "mobile_export.*"]
    ),
    package_data={
        "ecct_tf": ["py.typed", "starter/template/*", "reporting/templates/*"],
        "cloud": ["py.typed"],
        "mobile_export": ["py.typed"],
    },
    zip_safe=False,
    install_requires=BASE,
    extras_require={
        "simulation": SIMULATION,
        "local": LOCAL,
        "cloud": CLOUD,
        "scann": SCANN,
        "beam": BEAM,
        "export": EXPORT,
        "litert": LITERT,
        "serve": SERVE,
        "notebooks": NOTEBOOKS,
        "dev": DEV,
    },
    entry_points={"console_scripts": ["ecct = ecct_tf.cli:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
