import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take minutes, or a fixed time: begun last, they would keep one worker busy and the others idle. */
const slow = [
  'soak',
  'system-cut-off',
  'targets-swarm',
  'containers-apply',
  'kubernetes-apply',
  'e2e/backup',
  'e2e/package',
];

/** The usual order, with the slow files before all others. */
export class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isSlow = ({ moduleId }: TestSpecification): boolean =>
      slow.some((name) => moduleId.endsWith(`${name}.test.ts`));
    const sorted = await super.sort(files);
    return [...sorted.filter(isSlow), ...sorted.filter((file) => !isSlow(file))];
  }
}
