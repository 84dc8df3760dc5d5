"""The console script `roadsign`: one command for each job, with the arguments of the job."""

import difflib
import runpy
import sys
from importlib.metadata import version

from pipelines.commands import jobs, summary
from pipelines.job.completion import SHELLS, completion

__all__ = ["main"]

_WRONG_USAGE = 2


def main() -> None:
    """Runs the job as `python jobs/<job>.py` would, in this process."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help", "help"):
        print(_help())
    elif name == "--version":
        print(version("roadsign-robustness"))
    elif name == "completion":
        _print_completion(arguments)
    elif name.replace("_", "-") in (scripts := jobs()):
        script = str(scripts[name.replace("_", "-")])
        sys.argv = [script, *arguments]
        runpy.run_path(script, run_name="__main__")
    else:
        close = difflib.get_close_matches(name.replace("_", "-"), scripts, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        sys.stderr.write(f"error: {name}: no such command; {hint}roadsign --help lists all\n")
        sys.exit(_WRONG_USAGE)


def _help() -> str:
    scripts = jobs()
    width = max(map(len, scripts))
    return "\n".join(
        [
            "roadsign COMMAND [--config FILE] [--dry-run] [key=value …]",
            "",
            *(f"  {name:{width}}  {summary(script)}" for name, script in scripts.items()),
            "",
            "roadsign COMMAND --help       every setting of the command",
            f"roadsign completion SHELL     completion for {' or '.join(SHELLS)}",
            "roadsign --version",
        ]
    )


def _print_completion(arguments: list[str]) -> None:
    if len(arguments) != 1 or arguments[0] not in SHELLS:
        sys.stderr.write(f"error: completion: give the shell: roadsign completion {' | '.join(SHELLS)}\n")
        sys.exit(_WRONG_USAGE)
    print(completion(arguments[0]))
