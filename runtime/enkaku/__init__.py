"""Enkaku: typed requests, streams, channels and events between processes."""

from .errors import *
from .model import *
from .procedures import *
from .version import *
