import Handlebars from 'handlebars';

/** Layout only: what is shown, how often, and where. Everything else is decided by the view. */
const layoutHelpers = { each: true, if: true, unless: true };

/**
 * Compiles a template that lays out values and decides nothing. Values are
 * put in as they are: the view has quoted them for the format.
 * Throws when the template asks for a value that the view does not have, or
 * that is null or undefined.
 */
export function compileTemplate(source: string): (view: object) => string {
  // An environment of its own: nobody else's helpers or partials can leak into a template.
  const compiled = Handlebars.create().compile(source, {
    noEscape: true,
    strict: true,
    knownHelpers: layoutHelpers,
    knownHelpersOnly: true,
  });
  return (view) => {
    requireValues(view, 'view');
    return compiled(view);
  };
}

/** Strict mode sees a missing name, but lays out null and undefined as nothing: a directive without its value. */
function requireValues(value: unknown, place: string): void {
  if (value === undefined || value === null) throw new Error(`${place} has no value`);
  if (typeof value !== 'object') return;
  for (const [name, member] of Object.entries(value)) requireValues(member, `${place}.${name}`);
}
