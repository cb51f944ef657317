"""Starts the emulator with the arguments of this program, in its place."""

import os
import sys

from . import emulator

path = emulator()
os.execv(path, [path, *sys.argv[1:]])
