import Handlebars from 'handlebars';

/**
 * Compiles a template that lays out values and decides nothing. Values are
 * put in as they are: the view has quoted them for the format; for markup
 * (HTML, SVG, XML) Handlebars quotes them, but for {{{…}}}. The helpers are
 * each, if and unless.
 * Throws when the template asks for a value that the view does not have, or
 * that is null or undefined, and for any other helper.
 */
export function compileTemplate(source: string, format: 'text' | 'markup' = 'text'): (view: object) => string {
  const known = compiledBySource[format];
  const compiled = known.get(source) ?? compile(source, format);
  known.set(source, compiled);
  return (view) => {
    requireValues(view, 'view');
    return compiled(view);
  };
}

/** Compiling costs far more than filling in, and a plan fills in the same few templates again and again. */
const compiledBySource = {
  text: new Map<string, HandlebarsTemplateDelegate>(),
  markup: new Map<string, HandlebarsTemplateDelegate>(),
};

function compile(source: string, format: 'text' | 'markup'): HandlebarsTemplateDelegate {
  return layoutOnly().compile(source, {
    noEscape: format === 'text',
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
