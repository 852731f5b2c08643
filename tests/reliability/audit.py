"""Known vulnerabilities of every installed package, by pip-audit, where an advisory service can be reached.

    python -m tests.reliability.audit        # exit code 1: something is known against an installed package

Where none can be reached the check says so and passes: it then proves nothing.
"""

import json
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

TOOL = "pip-audit==2.10.1"
SERVICES = ("osv", "pypi")
EXCEPTIONS: dict[str, str] = {}  # advisory -> why it does not matter here


def verdict(report):
    """(sentence, whether it is well) of pip-audit's JSON; None when the service could not be reached."""
    packages = (report or {}).get("dependencies", [])
    looked_up = [one for one in packages if "vulns" in one]
    if not looked_up:  # a service that knows no package at all is none
        return None
    found = [
        f"{one['name']} {one['version']}: {known['id']}, fixed in {', '.join(known['fix_versions']) or 'no release'}"
        for one in looked_up
        for known in one["vulns"]
        if not {known["id"], *known.get("aliases", [])} & EXCEPTIONS.keys()
    ]
    skipped = [one["name"] for one in packages if "vulns" not in one]
    what = f"{len(looked_up)} packages looked up, {len(EXCEPTIONS)} exceptions"
    what += f", not known to the service: {', '.join(skipped)}" if skipped else ""
    return "\n".join([f"pip-audit: {len(found)} known vulnerabilities ({what}).", *found]), not found


def ask(folder):
    """The first service's verdict on the packages of this interpreter; None when none can be reached."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", TOOL]
    if subprocess.run(pip, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        return None
    for service in SERVICES:
        command = [str(folder / "bin" / "pip-audit"), "--format", "json", "--vulnerability-service", service]
        command += ["--progress-spinner", "off", "--timeout", "10", "--path", sysconfig.get_paths()["purelib"]]
        said = subprocess.run(command, capture_output=True, text=True).stdout
        try:
            found = verdict(json.loads(said))
        except ValueError:
            continue
        if found:
            return found
    return None


def main():
    with tempfile.TemporaryDirectory() as folder:
        sentence, well = ask(Path(folder)) or (
            "pip-audit: no advisory service can be reached from here: not audited.",
            True,
        )
    print(sentence)
    return not well


if __name__ == "__main__":
    sys.exit(main())
