/** `{{name}}` in the settings of a declared tool: where an argument of the call goes. */
const placeholder = /\{\{([A-Za-z_][A-Za-z0-9_-]*)\}\}/g;

/** Literal text and the names of arguments, in turn: even items are text. */
export function splitPlaceholders(template: string): readonly string[] {
  return template.split(placeholder);
}

/** Names of the arguments that a template refers to, with repetitions. */
export function placeholdersIn(template: string): readonly string[] {
  return splitPlaceholders(template).filter((_part, index) => index % 2 === 1);
}
