"""δ-mem: a small online memory for a frozen language model.

``deltamem.core`` is the mechanism, ``deltamem.runtime`` loads models and runs chat sessions.
"""

from pathlib import Path

__version__ = "0.1.0"

# In a checkout the compute kernels lie in `kernels/` beside this package. That folder has no `__init__.py`, because a
# top-level package of that name would hide the Hub's `kernels`, which transformers imports. It is reached as
# `deltamem.kernels` instead. (An installed wheel carries it inside this package and needs none of this.)
_root = Path(__file__).resolve().parent.parent
if (_root / "kernels" / "affine_scan").is_dir() and str(_root) not in __path__:
    __path__.append(str(_root))
del _root
