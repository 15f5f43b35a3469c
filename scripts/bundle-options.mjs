/** What all bundles share; `absWorkingDir` and the entry are the caller's. */
export function bundleOptions(version) {
  return {
    bundle: true,
    platform: 'node',
    target: 'node20.19',
    format: 'esm',
    legalComments: 'none',
    logLevel: 'warning',
    define: { __MCP_DEPLOY_VERSION__: JSON.stringify(version) },
    // CommonJS dependencies call require() for node's own modules.
    banner: { js: "import{createRequire as __cr}from'node:module';const require=__cr(import.meta.url);" },
    // Its CommonJS form hides its own parts from a bundler.
    alias: { 'jsonc-parser': 'jsonc-parser/lib/esm/main.js' },
    plugins: [withoutLocales],
  };
}

/** Packages that come in both forms are taken as modules: what nobody uses of them stays out of the one file. */
export const serverBundle = { mainFields: ['module', 'main'] };

/** zod brings its messages in forty languages: 300 kB that every start would read. English is imported apart from them. */
const withoutLocales = {
  name: 'without-locales',
  setup(build) {
    build.onResolve({ filter: /locales\/index\.js$/ }, ({ importer }) =>
      /[\\/]zod[\\/]/.test(importer) ? { path: 'locales', namespace: 'empty' } : undefined,
    );
    build.onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: 'export {};' }));
  },
};
