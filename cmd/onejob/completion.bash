# Completion of onejob for bash.
_onejob() {
  local cur=${COMP_WORDS[COMP_CWORD]} IFS=$'\n'
  local line=("${COMP_WORDS[@]:0:COMP_CWORD}")
  [[ $cur == -* ]] && line+=("$cur")
  COMPREPLY=($(compgen -W "$(SHELL=bash "${line[@]}" --generate-bash-completion 2>/dev/null)" -- "$cur"))
}
complete -o default -F _onejob onejob
