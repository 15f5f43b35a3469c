import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/helpers/build-once.ts'],
    testTimeout: 30_000,
    hookTimeout: 120_000,
    // Two cores, and many tests start real servers: more workers only make deadlines flap.
    maxWorkers: 2,
  },
});
