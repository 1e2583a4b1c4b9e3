"""The compiled core; everything else about the package is in pyproject.toml."""

from glob import glob

from setuptools import Extension, setup

# One idea each: values, codec, ring, ports to the transport, beat thread, and the driver that uses them.
MODULES = ["_ids", "_codec", "_ring", "_ports", "_beat", "_core"]

setup(
    ext_modules=[
        Extension(
            f"zmqcluster.{module}",
            [f"zmqcluster/{module}.pyx"],
            depends=glob("zmqcluster/*.px[di]"),
            extra_compile_args=["-O3", "-fno-strict-aliasing"],
            libraries=["dl", "pthread"],
        )
        for module in MODULES
    ]
)
