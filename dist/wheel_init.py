"""An emulator of anyarch's: `python -m` with this module's name starts it."""

import os
import sysconfig
from importlib import metadata

# The module is anyarch_qemu_<target>, the program qemu-<target>.
PROGRAM = "qemu-" + __name__.split("qemu_", 1)[1]


def _places():
    try:
        for file in metadata.files(__name__) or []:
            if file.name == PROGRAM:
                yield file.locate()
    except metadata.PackageNotFoundError:
        pass
    # Where `pip install --target` puts programs.
    yield os.path.join(os.path.dirname(__file__), os.pardir, "bin", PROGRAM)
    yield os.path.join(sysconfig.get_path("scripts"), PROGRAM)


def emulator():
    """The path of the installed emulator."""
    for place in _places():
        if os.access(place, os.X_OK):
            return os.path.abspath(place)
    raise FileNotFoundError(f"{PROGRAM} is not where pip installed it: install {__name__} again")
