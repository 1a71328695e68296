"""``enkaku completion``: prints a script that lets a shell complete the command line of ``enkaku``.

The script calls the same command, with the words of the command line, which are no documented argument. The first line of the answer
is ``files``, where the shell completes paths, or ``values``; then there is one a line, with a tabulator and a description if the shell
shows them.
"""

import argparse
import re
import shlex
from collections.abc import Sequence
from typing import Final

from .command import Command, ExitCode
from .completing import complete

__all__ = ["COMMAND"]

_BASH: Final = r"""# Completion of enkaku for bash: source <(enkaku completion bash)
_enkaku() {
    local line kind=
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ -z $kind ]]; then kind=$line; else COMPREPLY+=("$line"); fi
    done < <("$1" completion bash "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
    if [[ $kind == files ]]; then
        compopt -o default
    elif [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[/:=] ]]; then
        compopt -o nospace
    fi
}
complete -F _enkaku enkaku
"""
_ZSH: Final = r"""#compdef enkaku
# Completion of enkaku for zsh: enkaku completion zsh > a directory of $fpath, as _enkaku; or source <(enkaku completion zsh)
_enkaku() {
    local line text
    local -a lines closed closed_shown open open_shown
    lines=("${(@f)$("${(Q)words[1]}" completion zsh "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    if [[ $lines[1] == files ]]; then
        compset -P '*='
        _files
        return
    fi
    for line in "${(@)lines[2,-1]}"; do
        text=${line%%$'\t'*}
        if [[ $text == *[/:=] ]]; then
            open+=("$text")
            open_shown+=("${line/$'\t'/  -- }")
        else
            closed+=("$text")
            closed_shown+=("${line/$'\t'/  -- }")
        fi
    done
    (( $#open )) && compadd -l -S '' -d open_shown -- "${open[@]}"
    (( $#closed )) && compadd -l -d closed_shown -- "${closed[@]}"
}
if [[ ${funcstack[1]} == _enkaku ]]; then _enkaku "$@"; else compdef _enkaku enkaku; fi
"""
_FISH: Final = r"""# Completion of enkaku for fish: enkaku completion fish | source
function __enkaku_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l lines ($words[1] completion fish $words "$current" 2>/dev/null)
    if test "$lines[1]" = files
        __fish_complete_path "$current"
    else
        string join \n -- $lines[2..-1]
    end
end
complete -c enkaku -f -a '(__enkaku_complete)'
"""
_SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
_SPECIAL: Final = re.compile(r"([^A-Za-z0-9_@%+=:,./~-])")
_CURSOR: Final = "\x00"  # which no command line has
_BREAKS: Final = ":=@"  # those of bash that stand within addresses and options


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=_SCRIPTS, help="the shell")
    # What the scripts ask: the words of the command line; of bash, the line up to the cursor and COMP_WORDBREAKS.
    parser.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def _run(options: argparse.Namespace) -> int:
    if not options.words:
        print(_SCRIPTS[options.shell], end="")
        return ExitCode.SUCCESS
    if options.shell == "bash":
        words: list[str] = options.words
        line, breaks = words[0], "".join(words[1:2])
        lines = _of_bash(line, breaks)
    else:
        found = complete(options.words)
        lines = (
            ["files"]
            if found is None
            else ["values", *("\t".join(filter(None, each)) for each in found)]
        )
    print("\n".join(lines))
    return ExitCode.SUCCESS


def _of_bash(line: str, breaks: str) -> Sequence[str]:
    """Return the answer for bash, which replaces only what follows the last of ``breaks`` before the cursor."""
    words, quoted = _split(line)
    found = complete(words)
    if found is None:
        return ["files"]
    current = words[-1]
    if quoted:
        return ["values", *(each.text for each in found)]
    cut = 1 + max((current.rfind(each) for each in _BREAKS if each in breaks), default=-1)
    return ["values", *(_escaped(each.text[cut:]) for each in found)]


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _split(line: str) -> tuple[list[str], bool]:
    """Return the words of a command line, the last of which is that at the cursor, and whether a quote is open there."""
    for end in ("", "'", '"'):
        try:
            words = shlex.split(f"{line}{_CURSOR}{end}")
        except ValueError:
            continue
        return [each.replace(_CURSOR, "") for each in words], bool(end)
    return [""], False


COMMAND: Final = Command(
    description=(
        "Print a script that completes commands, options, addresses and procedures. It asks this command, which reads the "
        "protocol file, but runs no code of the project."
    ),
    examples=(
        "source <(enkaku completion bash)",
        "source <(enkaku completion zsh)",
        "enkaku completion fish | source",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
