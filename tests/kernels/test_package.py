"""The folder `kernels/` is ours as `deltamem.kernels` and hides no installed package of that name."""

import subprocess
import sys
import tomllib
from pathlib import Path

from deltamem.runtime.presets import BUNDLED

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
sys.path[:0] = [{root!r}]
sys.path.append({site!r})
import kernels
assert kernels.MARKER == "the installed one", kernels
import deltamem.kernels.affine_scan as scan
assert scan.__file__.startswith({root!r}), scan.__file__
import importlib.metadata
assert importlib.metadata.version("kernels") == "9.9.9"
"""


def test_installed_kernels_package_wins(tmp_path):
    package = tmp_path / "kernels"
    package.mkdir()
    (package / "__init__.py").write_text('MARKER = "the installed one"\n')
    information = tmp_path / "kernels-9.9.9.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: kernels\nVersion: 9.9.9\n")
    program = PROGRAM.format(root=str(ROOT), site=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_our_folder_is_no_regular_package():
    assert not (ROOT / "kernels" / "__init__.py").exists()


def test_the_wheel_holds_every_package():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = [
        path.parent.relative_to(ROOT).parts
        for name in ("deltamem", "kernels")
        for path in ROOT.glob(f"{name}/**/__init__.py")
    ]
    names = {".".join(parts if parts[0] == "deltamem" else ("deltamem", *parts)) for parts in folders}
    assert names | {"deltamem.kernels", "deltamem.adapters"} == set(settings["packages"])
    folders = dict(settings["package-dir"])
    assert folders.pop("deltamem.adapters") == BUNDLED.relative_to(ROOT).as_posix()
    for package, folder in folders.items():
        assert package == "deltamem." + folder.replace("/", ".")
