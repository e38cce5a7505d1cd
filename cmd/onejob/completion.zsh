#compdef onejob
# Completion of onejob for zsh.
_onejob() {
  local cur=${words[CURRENT]}
  local -a line options
  line=("${(@)words[1,CURRENT-1]}")
  [[ $cur == -* ]] && line+=("$cur")
  options=("${(@f)$(SHELL=zsh "${line[@]}" --generate-bash-completion 2>/dev/null)}")
  if [[ -n ${options[1]} ]]; then
    _describe onejob options
  else
    _files
  fi
}
if [[ ${funcstack[1]} == _onejob ]]; then
  _onejob "$@"
else
  compdef _onejob onejob
fi
