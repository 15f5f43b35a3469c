import Handlebars from 'handlebars';

/**
 * Compiles a template that lays out values and decides nothing. Values are
 * put in as they are: the view has quoted them for the format. The helpers
 * are each, if and unless.
 * Throws when the template asks for a value that the view does not have, or
 * that is null or undefined, and for any other helper.
 */
export function compileTemplate(source: string): (view: object) => string {
  const compiled = compiledBySource.get(source) ?? compile(source);
  compiledBySource.set(source, compiled);
  return (view) => {
    requireValues(view, 'view');
    return compiled(view);
  };
}

/** Compiling costs far more than filling in, and a plan fills in the same few templates again and again. */
const compiledBySource = new Map<string, HandlebarsTemplateDelegate>();

function compile(source: string): HandlebarsTemplateDelegate {
  return layoutOnly().compile(source, {
    noEscape: true,
    strict: true,
    knownHelpers: { with: false, log: false, lookup: false },
    knownHelpersOnly: true,
  });
}

/** An environment of its own: nobody else's helpers or partials can leak into a template. */
function layoutOnly(): typeof Handlebars {
  const handlebars = Handlebars.create();
  for (const name of ['each', 'if', 'unless']) {
    const builtIn = handlebars.helpers[name];
    if (builtIn === undefined) throw new Error(`Handlebars has no ${name}`);
    // Strict mode does not look at what a helper is given: a misspelt condition would count as false.
    handlebars.registerHelper(name, function given(this: unknown, value: unknown, options: Handlebars.HelperOptions) {
      if (value === undefined) throw new Error(`{{#${name}}} is given a value that the view does not have`);
      return builtIn.call(this, value, options) as unknown;
    });
  }
  return handlebars;
}

/** Strict mode sees a missing name, but lays out null and undefined as nothing: a directive without its value. */
function requireValues(value: unknown, place: string): void {
  if (value === undefined || value === null) throw new Error(`${place} has no value`);
  if (typeof value !== 'object') return;
  for (const [name, member] of Object.entries(value)) requireValues(member, `${place}.${name}`);
}
