"""Puts each bug of bugs.toml into a copy of the engine and expects the test that it names to fail.

    python3 tests/bugs/run.py                    all of them
    python3 tests/bugs/run.py NAME ...           some
    python3 tests/bugs/run.py --find [NAME ...]  all tests are run, and the first that fails is written down as the one that catches it

A bug is a place in one file, `find`, and what stands there instead, `put`. Exits with 1 if one is not caught.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIST = HERE / "bugs.toml"
# A test that does not end is one that fails; those of the engine take a minute.
PATIENCE_S = 900


def copy_of_project(into: pathlib.Path) -> None:
    """Copies what git knows, so that nobody's work is touched."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    for name in listed.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, into / name)


def test(project: pathlib.Path, only: str | None) -> tuple[str, str | None]:
    """Runs the engine's tests, or one of them. Gives `passes`, `fails`, `hangs` or `no build`, and the first test that failed."""
    target = os.environ.get("CARGO_TARGET_DIR", str(pathlib.Path.home() / ".cache/plimsoll-target")) + "/bugs"
    command = ["cargo", "test", "-q", "-p", "plimsoll-engine", "--lib", "--test", "engine"]
    environment = {**os.environ, "CARGO_TARGET_DIR": target, "RUST_BACKTRACE": "0"}
    built = subprocess.run([*command, "--no-run"], cwd=project, env=environment, capture_output=True, text=True)
    if built.returncode != 0:
        return "no build", built.stderr[-2000:]
    arguments = [*command, "--", *(["--exact", only] if only else [])]
    with subprocess.Popen(
        arguments, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as running:
        try:
            output, _ = running.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, 9)
            return "hangs", only
    failed = re.search(r"^---- (\S+) stdout ----$", output, re.MULTILINE)
    if running.returncode == 0:
        ran = sum(int(count) for count in re.findall(r"^test result: ok\. (\d+) passed", output, re.MULTILINE))
        return ("passes", None) if ran else ("no such test", only)
    return "fails", failed.group(1) if failed else only


def main() -> int:
    asked = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    finds = "--find" in sys.argv
    bugs = tomllib.loads(LIST.read_text())["bug"]
    unknown = set(asked) - {bug["name"] for bug in bugs}
    if unknown:
        print(f"no such bug: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        project = pathlib.Path(folder)
        copy_of_project(project)
        for bug in (bug for bug in bugs if not asked or bug["name"] in asked):
            path, began = project / bug["file"], time.monotonic()
            right = path.read_text()
            assert right.count(bug["find"]) == 1, f"{bug['name']}: its place is not there once"
            path.write_text(right.replace(bug["find"], bug["put"]))
            outcome, by = test(project, None if finds else bug.get("caught_by"))
            path.write_text(right)
            is_caught = outcome in ("fails", "hangs")
            if finds and is_caught and by:
                entry = f'name = "{bug["name"]}"\n'
                text = re.sub(re.escape(entry) + r'(caught_by = ".*"\n)?', entry + f'caught_by = "{by}"\n', LIST.read_text())
                LIST.write_text(text)
            if not is_caught:
                missed.append(bug["name"])
            print(f"{bug['name']}: {'caught' if is_caught else outcome.upper()} by {by} in {time.monotonic() - began:.0f} s", flush=True)
    print(f"{len(missed)} not caught{': ' if missed else ''}{', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
