import { defineConfig } from 'vitest/config';
import { SlowFirst } from './helpers/slow-first.ts';

/** They look at the default port, at the whole machine or at how long something takes. */
const alone = ['life', 'readme', 'start-up', 'variables', 'wizard'].map((name) => `test/e2e/${name}.test.ts`);

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    globalSetup: ['test/helpers/build-once.ts'],
    testTimeout: 30_000,
    sequence: { sequencer: SlowFirst },
    hookTimeout: 120_000,
    // A shared machine of two cores may stall anything for a moment. .ci/run names what needed its second try.
    retry: process.env['CI'] === 'true' ? 1 : 0,
    projects: [
      {
        extends: true,
        test: {
          name: 'parts',
          include: ['test/**/*.test.ts'],
          exclude: ['test/e2e/**'],
          // Two cores, and many tests wait for real servers: one worker more than cores fills the waits, two more make deadlines flap.
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          exclude: alone,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'alone',
          include: alone,
          // As a stranger's machine is: one deployment at a time, on the default port, and nothing else to do.
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
