import type { WizardFacts } from '../../src/cli/wizard/facts.ts';

/** A Linux machine with nothing on it, and an empty folder. */
export function wizardFacts(changes: Partial<WizardFacts> = {}): WizardFacts {
  return {
    platform: 'linux',
    hostName: 'box',
    hostsFile: null,
    folderName: 'My Notes',
    isRoot: false,
    programs: {
      nginx: null,
      caddy: null,
      haproxy: null,
      docker: null,
      systemctl: null,
      launchctl: null,
      uv: null,
      python3: null,
    },
    systemdRuns: false,
    dockerUsable: false,
    freePort: 8443,
    portRemark: null,
    httpsHolder: null,
    packageJson: null,
    pyproject: null,
    requirements: null,
    files: [],
    clientServers: [],
    email: null,
    ...changes,
  };
}

/** The same with programs that are there. */
export function withPrograms(...names: (keyof WizardFacts['programs'])[]): Pick<WizardFacts, 'programs'> {
  const found = Object.fromEntries(names.map((name) => [name, `/usr/bin/${name}`]));
  return { programs: { ...wizardFacts().programs, ...found } };
}
