"""Asks the package index whether a locked version has a known hole, for script/test.

A hole that is known is a failure. An index that can't be reached, or that knows nothing of holes, is none, as nobody
can mend that here; it is told.
"""

from __future__ import annotations

import json
import subprocess
import sys

LOCKS = ("requirements.txt", "requirements-dev.txt")
PATIENCE = 120  # seconds for all of it
UNREACHABLE = ("requests.exceptions.", "Could not connect")  # how pip-audit says so, in its last line


def main() -> int:
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner=off"]
    command += ["--format=json", *(f"--requirement={lock}" for lock in LOCKS)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        said, status = f"not checked: the index has not answered within {PATIENCE} s", 0
    else:
        said, status = judge(done.stdout, done.stderr)
    print(said)
    return status


def judge(report: str, errors: str) -> tuple[str, int]:
    """What is to be said of pip-audit's report, or of its error where it made none; and the exit status."""
    if not report.strip():
        last = errors.strip().rpartition("\n")[2]
        if any(sign in last for sign in UNREACHABLE):
            return f"not checked: the index can't be reached ({last[:200]})", 0
        return f"pip-audit failed:\n{errors}", 1
    packages = json.loads(report)["dependencies"]
    holes = [
        f"{package['name']} {package['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'none'}"
        for package in packages
        for hole in package.get("vulns", [])
    ]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if len(unknown) == len(packages):
        return "not checked: this index knows nothing of holes", 0
    told = [f"{len(packages) - len(unknown)} packages checked, {len(holes)} known holes", *holes]
    if unknown:
        told.append(f"not known to the index: {', '.join(unknown)}")
    return "\n".join(told), 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
