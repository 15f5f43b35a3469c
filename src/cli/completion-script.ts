export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/**
 * The script that a shell loads. It asks the program for each word, so that labels, codes and new commands are always
 * those of the version that is installed; a line "word<tab>description" for each, or ":files" for names of files.
 */
export function completionScript(shell: Shell): string {
  return scripts[shell];
}

const scripts: Readonly<Record<Shell, string>> = {
  bash: `# mcp-deploy completion for bash. Load it with: source <(mcp-deploy completion bash)
_mcp_deploy() {
  local line word words=()
  # What stands up to the cursor, without the name of the program; a colon or = does not split words here.
  local IFS=$' \\t\\n'
  local before="\${COMP_LINE:0:COMP_POINT}"
  read -r -a words <<< "\${before}"
  [[ "\${before}" == *[[:space:]] ]] && words+=("")
  local typed=""
  (( \${#words[@]} > 1 )) && typed="\${words[\${#words[@]}-1]}"
  COMPREPLY=()
  while IFS= read -r line; do
    word="\${line%%$'\\t'*}"
    if [[ "\${word}" == ":files" ]]; then
      while IFS= read -r word; do COMPREPLY+=("\${word}"); done < <(compgen -f -- "\${2}")
      compopt -o filenames 2>/dev/null
      return
    fi
    # Readline only replaces what follows the last : or =.
    [[ "\${typed}" == *[:=]* && "\${COMP_WORDBREAKS}" == *:* ]] && word="\${word#"\${typed%"\${2}"}"}"
    COMPREPLY+=("\${word}")
  done < <("\${1}" complete -- "\${words[@]:1}" 2>/dev/null)
}
complete -F _mcp_deploy mcp-deploy
`,
  zsh: `#compdef mcp-deploy
# mcp-deploy completion for zsh. Load it with: source <(mcp-deploy completion zsh)
_mcp_deploy() {
  local -a found
  local line word
  while IFS= read -r line; do
    word="\${line%%$'\\t'*}"
    if [[ "\${word}" == ":files" ]]; then
      _files
      return
    fi
    found+=("\${word//:/\\\\:}:\${line#*$'\\t'}")
  done < <("\${words[1]}" complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  _describe 'mcp-deploy' found
}
if [[ "\${funcstack[1]}" == "_mcp_deploy" ]]; then
  _mcp_deploy "$@"
else
  compdef _mcp_deploy mcp-deploy
fi
`,
  fish: `# mcp-deploy completion for fish. Load it with: mcp-deploy completion fish | source
function __mcp_deploy_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    set -l found ($program complete -- $words 2>/dev/null)
    if test "$found[1]" = ":files"
        __fish_complete_path (commandline -ct)
    else
        printf '%s\\n' $found
    end
end
complete -c mcp-deploy -f -a '(__mcp_deploy_complete)'
`,
};
