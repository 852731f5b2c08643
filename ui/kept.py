"""What was drawn and measured for one page, by what it shows: the newest few, with their files."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from itertools import count
from pathlib import Path


class Kept:
    """pictures: (path, alternative text, table). traces: of steps. files: (path,) of downloads."""

    def __init__(self):
        self.pictures: OrderedDict[Hashable, tuple] = OrderedDict()
        self.traces: OrderedDict[Hashable, tuple] = OrderedDict()
        self.files: OrderedDict[Hashable, tuple] = OrderedDict()
        self.lock = threading.Lock()
        self.numbers = count(1)

    def get(self, store: OrderedDict, most: int, key: Hashable, of: tuple, make: Callable):
        """The value under a key, made when it is not there. of: what it was made from, kept so that ids stay unique."""
        with self.lock:
            if key in store:
                store.move_to_end(key)
                return store[key][1]
        value = make()
        with self.lock:
            store[key] = (of, value)
            while len(store) > most:
                _, (_, old) = store.popitem(last=False)
                if store is not self.traces:
                    Path(old[0]).unlink(missing_ok=True)
        return value
