"""Tab completion: `completion bash` and `completion zsh` print what a shell has to read, once or in its start-up file.

The shell then asks `completion candidates <words>` at every press of TAB; see `cli/candidates.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

USAGE = """\
Print the tab completion of a shell, to be read by it, now or at its start:

  source <(upsample-lab completion bash)    also as a line of ~/.bashrc
  source <(upsample-lab completion zsh)     also as a line of ~/.zshrc"""

BASH = r"""_upsample_lab() {
    local line="${COMP_LINE:0:COMP_POINT}" word cut="" IFS=$' \t\n'
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word="${words[${#words[@]}-1]}"
    # bash takes = and : for the ends of words, so what stands before the last of them is there already
    [[ $COMP_WORDBREAKS == *=* && $word == *[=:]* ]] && cut="${word%"${word##*[=:]}"}"
    IFS=$'\n'
    COMPREPLY=($(command "${words[0]}" completion candidates "${words[@]:1}" 2>/dev/null))
    COMPREPLY=("${COMPREPLY[@]#"$cut"}")
    [[ ${COMPREPLY[0]-} == *[=/] ]] && compopt -o nospace
}
complete -o bashdefault -o default -F _upsample_lab upsample-lab
"""
ZSH = r"""(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
_upsample_lab() {
    local -a found
    found=("${(@f)$(command ${words[1]} completion candidates "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    [[ -n $found ]] || { _files; return }
    compadd -S '' -- ${(M)found:#*[=/]}
    compadd -- ${found:#*[=/]}
}
compdef _upsample_lab upsample-lab
"""
SHELLS = {"bash": BASH, "zsh": ZSH}


def main(words: Sequence[str]) -> int:
    """Answer the command line; returns the exit status."""
    if words[:1] == ["candidates"]:
        from upsample_lab.cli.app import COMMANDS
        from upsample_lab.cli.candidates import candidates

        print("\n".join(candidates(words[1:], COMMANDS)))
        return 0
    if "-h" in words or "--help" in words:
        print(USAGE)
        return 0
    if len(words) != 1 or words[0] not in SHELLS:
        print(f"error: {' '.join(['completion', *words])}: must be one of {', '.join(SHELLS)}", file=sys.stderr)
        return 2
    print(SHELLS[words[0]], end="")
    return 0
