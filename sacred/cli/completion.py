"""``sacred completion``: what a shell needs to complete experiments and the commands of this package.

It prints functions of the shell, which ask ``sacred.core.completion`` when Tab is pressed: a process
of its own, so that the shell starts nothing before.
"""

from __future__ import annotations

import sys

import click

__all__ = ["completion", "completion_script"]

_SHELLS = ("bash", "zsh", "fish")
#: The present folder is no place to import from: a file in it could be called like a module.
_PROGRAM = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; "
    "from sacred.core.completion import main; sys.exit(main(sys.argv[1:]))"
)

_BASH = """\
# sacred: experiments, as "python train.py" and as "./train.py"
_sacred_experiment() {
    local word lines
    lines="$(PYTHON -c 'PROGRAM' bash "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)" || return 1
    COMPREPLY=()
    while IFS=$'\\t' read -r word _; do
        [[ -n $word ]] && COMPREPLY+=("$word")
    done <<< "$lines"
    if [[ ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi
    return 0
}
_sacred_is_one() {
    [[ $1 == *.py && -f $1 && -r $1 ]] && grep -qE 'sacred|run_commandline' -- "$1" 2>/dev/null
}
_sacred_python() {
    local i word
    for ((i = 1; i < COMP_CWORD; i++)); do
        word="${COMP_WORDS[i]/#\\~/$HOME}"
        if [[ ${COMP_WORDS[i]} == -m ]]; then
            word="${COMP_WORDS[i+1]//./\\/}.py"
            [[ -f $word ]] || word="${word%.py}/__main__.py"
        fi
        if _sacred_is_one "$word"; then
            _sacred_experiment && return 0
            break
        fi
    done
    if [[ -n ${_sacred_former_python-} ]]; then "$_sacred_former_python" "$@"; fi
}
_sacred_default() {
    if _sacred_is_one "${1/#\\~/$HOME}"; then _sacred_experiment && return 0; fi
    if [[ -n ${_sacred_former_default-} ]]; then "$_sacred_former_default" "$@"; fi
}
_sacred_former() {
    local spec
    spec="$(complete -p "$@" 2>/dev/null)"
    if [[ $spec =~ -F\\ ([^ ]+) && ${BASH_REMATCH[1]} != _sacred_* ]]; then echo "${BASH_REMATCH[1]}"; fi
}
if declare -F _completion_loader >/dev/null; then _completion_loader python >/dev/null 2>&1; fi
_sacred_former_python="$(_sacred_former python)"
_sacred_former_default="$(_sacred_former -D)"
complete -o bashdefault -o default -F _sacred_python python python3
complete -o bashdefault -o default -F _sacred_default -D
"""

_ZSH = """\
# sacred: experiments, as "python train.py" and as "./train.py"
_sacred_experiment() {
    local line word what
    local -a lines plain plain_shown open open_shown
    lines=("${(@f)$(PYTHON -c 'PROGRAM' words "${(@Q)words[1,CURRENT]}" 2>/dev/null || print -r -- '|')}")
    [[ $lines[1] == '|' ]] && return 1
    for line in $lines; do
        word=${line%%$'\\t'*} what=${line#*$'\\t'}
        [[ -z $word ]] && continue
        if [[ $word == *= ]]; then
            open+=("$word") open_shown+=("$word${what:+ -- $what}")
        else
            plain+=("$word") plain_shown+=("$word${what:+ -- $what}")
        fi
    done
    (( $#open )) && compadd -l -S '' -d open_shown -a open
    (( $#plain )) && compadd -l -d plain_shown -a plain
    return 0
}
_sacred_is_one() {
    [[ -f $1 && -r $1 ]] && grep -qE 'sacred|run_commandline' -- $1 2>/dev/null
}
_sacred_python() {
    local i word
    for (( i = 2; i < CURRENT; i++ )); do
        word=${(Q)words[i]/#\\~/$HOME}
        if [[ $words[i] == -m ]]; then
            word=${words[i+1]//.//}.py
            [[ -f $word ]] || word=${word%.py}/__main__.py
        fi
        if [[ $word == *.py ]] && _sacred_is_one $word; then
            _sacred_experiment && return 0
            break
        fi
    done
    if (( $+functions[_python] )) || autoload -Uz +X _python 2>/dev/null; then _python "$@"; else _default; fi
}
_sacred_script() {
    local word=${(Q)words[1]/#\\~/$HOME}
    if _sacred_is_one $word; then _sacred_experiment && return 0; fi
    _default
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
compdef _sacred_python python python3
compdef -p _sacred_script '*.py'
"""

_FISH = """\
# sacred: experiments, as "python train.py" and as "./train.py"
function __sacred_candidates
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    PYTHON -c 'PROGRAM' words $before "$current" 2>/dev/null
end
function __sacred_is_experiment
    __sacred_candidates >/dev/null
end
complete -c python -c python3 -n __sacred_is_experiment -f -a '(__sacred_candidates)'
complete -p '*.py' -n __sacred_is_experiment -f -a '(__sacred_candidates)'
"""
_EXPERIMENTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


_COMPLETION_HELP = """\
Print what a shell needs to complete words by Tab.

\b
bash:  eval "$(sacred completion bash)"      in ~/.bashrc
zsh:   eval "$(sacred completion zsh)"       in ~/.zshrc, behind compinit
fish:  sacred completion fish | source       in ~/.config/fish/config.fish

Tab then offers, behind sacred, its commands and options, runs, metrics (plot
-m) and columns (ls -c); behind "python train.py" and "./train.py" commands,
named configurations, entries and options. Scripts are read and never run.
"""


def completion_script(shell: str, commands: dict[str, click.Command]) -> str:
    """Return what a shell has to evaluate at its start.

    Parameters
    ----------
    shell
        ``bash``, ``zsh`` or ``fish``.
    commands
        Programs of click by their names, which are completed too.
    """
    import shlex

    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    parts = []
    for name, command in commands.items():
        variable = f"_{name.upper().replace('-', '_')}_COMPLETE"
        if kind is not None:
            source = kind(command, {}, name, variable).source()
            # click's function for fish takes what stands behind a comma for no part of the word.
            source = source.replace('string split ","', 'string split -m 1 ","')
            parts.append(source.strip() + "\n")
    python = shlex.quote(sys.executable)
    parts.append(_EXPERIMENTS[shell].replace("PYTHON", python).replace("PROGRAM", _PROGRAM))
    return "\n".join(parts)


@click.command(help=_COMPLETION_HELP)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what a shell needs to complete words by Tab."""
    root = ctx.find_root().command
    commands = {"sacred": root}
    replay = root.get_command(ctx, "replay") if isinstance(root, click.Group) else None
    if replay is not None:
        commands["sacred-replay"] = replay
    click.echo(completion_script(shell, commands), nl=False)
