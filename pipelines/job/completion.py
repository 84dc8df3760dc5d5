"""Completion of commands, keys and names of menus for bash and zsh, from the files of conf/ alone."""

from pathlib import Path

from pipelines.commands import home, jobs
from pipelines.yaml_lines import YamlLine, read_lines

__all__ = ["SHELLS", "completion"]

SHELLS = ("bash", "zsh")
_OPTIONS = "--config --dry-run --help"
_BASH = r"""
_roadsign() {
    local typed="${COMP_LINE:0:COMP_POINT}" command="${COMP_WORDS[1]}" word
    word="${typed##*[[:space:]]}"
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "@commands@" -- "$word"))
    elif [[ $word == *=* ]]; then
        local choices="$(_roadsign_values "$command:${word%%=*}")"
        if [[ $choices ]]; then COMPREPLY=($(compgen -W "$choices" -- "${word#*=}"))
        else COMPREPLY=($(compgen -f -- "${word#*=}")); fi
    elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == --config ]]; then
        COMPREPLY=($(compgen -f -- "$word"))
    else
        COMPREPLY=($(compgen -W "$(_roadsign_keys "$command")" -- "$word"))
        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    fi
}
complete -F _roadsign roadsign
"""
_ZSH = r"""
_roadsign() {
    if ((CURRENT == 2)); then
        compadd -- @commands@
    elif [[ $PREFIX == *=* ]]; then
        local choices="$(_roadsign_values "$words[2]:${PREFIX%%=*}")"
        compset -P '*='
        if [[ -n $choices ]]; then compadd -- ${=choices}; else _files; fi
    elif [[ $words[CURRENT-1] == --config ]]; then
        _files
    else
        compadd -S '' -- ${=$(_roadsign_keys "$words[2]")}
    fi
}
compdef _roadsign roadsign
"""


def completion(shell: str) -> str:
    """The script that the shell evaluates: eval "$(roadsign completion bash)"."""
    keys, values = [], []
    for name, script in jobs().items():
        lines = _lines(script)
        keys.append(f'        {name}) echo "{" ".join([*(f"{line.key}=" for line in lines), _OPTIONS])}" ;;')
        values += [f'        {name}:{menu}) echo "{" ".join(names)}" ;;' for menu, names in _menus(script).items()]
    body = (_BASH if shell == "bash" else _ZSH).replace("@commands@", " ".join([*jobs(), "completion", "--help"]))
    return "\n".join([*_cases("_roadsign_keys", keys), *_cases("_roadsign_values", values), body.strip()])


def _lines(script: Path) -> list[YamlLine]:
    return [line for line in read_lines(home() / "conf" / f"{script.stem}.yaml") if line.value is not None]


def _menus(script: Path) -> dict[str, list[str]]:
    """The names of each menu; a key of the same name whose default is none of them is no menu in this job."""
    named = {line.key: (line.value, sorted((home() / "conf" / line.key).glob("*.yaml"))) for line in _lines(script)}
    return {
        key: [path.stem for path in files]
        for key, (default, files) in named.items()
        if default in [path.stem for path in files]
    }


def _cases(function: str, cases: list[str]) -> list[str]:
    return [f"{function}() {{", '    case "$1" in', *cases, "    esac", "}"]
