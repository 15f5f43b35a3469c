import { join } from 'node:path';

/** A program with its arguments; run without a shell. */
export interface TrustCommand {
  readonly argv: readonly string[];
  /** Password variables for the program, by name: never on the command line. */
  readonly env?: Readonly<Record<string, string>>;
}

/** One place where a CA can be trusted, and how. Plain data: nothing here runs anything. */
export interface TrustStore {
  /** Stable: kept in the record of what was installed. */
  readonly id: string;
  readonly title: string;
  /** File that holds the CA for the store, absolute; null for stores that keep it in a database. */
  readonly anchorFile: string | null;
  readonly install: readonly TrustCommand[];
  readonly remove: readonly TrustCommand[];
  /** Prints the certificate as the store has it (PEM), to compare before it is removed; null when the file says it. */
  readonly read: TrustCommand | null;
  readonly needsRoot: boolean;
  /** What is not proven by a test of ours on this system. */
  readonly untested: boolean;
}

/** What is there on this machine, as far as trust goes. */
export interface TrustFacts {
  readonly platform: 'linux' | 'darwin' | 'win32' | 'other';
  /** Folders of Linux trust stores that exist, without --root. */
  readonly folders: ReadonlySet<string>;
  /** Programs that are there, by name. */
  readonly programs: ReadonlySet<string>;
  /** NSS databases (folders with cert9.db). */
  readonly nssDatabases: readonly string[];
  /** A Java keystore to add to, or null. */
  readonly javaKeystore: string | null;
  /** Everything of the file system is below this folder: packaging and tests. '' for the machine itself. */
  readonly root: string;
}

/** The systems with a folder of anchors and a program that reads it. The first whose folder and program are there counts. */
const anchorSystems = [
  {
    id: 'debian',
    title: 'Debian, Ubuntu, Alpine',
    folder: '/usr/local/share/ca-certificates',
    suffix: '.crt',
    program: 'update-ca-certificates',
    args: [],
    removeArgs: ['--fresh'],
  },
  {
    id: 'rhel',
    title: 'RHEL, Fedora',
    folder: '/etc/pki/ca-trust/source/anchors',
    suffix: '.pem',
    program: 'update-ca-trust',
    args: ['extract'],
    removeArgs: ['extract'],
  },
  {
    id: 'suse',
    title: 'SUSE',
    folder: '/etc/pki/trust/anchors',
    suffix: '.pem',
    program: 'update-ca-certificates',
    args: [],
    removeArgs: [],
  },
  {
    id: 'arch',
    title: 'Arch',
    folder: '/etc/ca-certificates/trust-source/anchors',
    suffix: '.crt',
    program: 'trust',
    args: ['extract-compat'],
    removeArgs: ['extract-compat'],
  },
] as const;

/** Every store of this machine in which the CA can be trusted. `name` is unique to the CA: part of file names and aliases. */
export function planTrustStores(facts: TrustFacts, caFile: string, name: string): readonly TrustStore[] {
  return [...systemStores(facts, caFile, name), ...nssStores(facts, caFile, name), ...javaStores(facts, caFile, name)];
}

/** How a CA is called in stores: by its fingerprint, so that two CAs of one name never meet. */
export function trustName(fingerprint256: string): string {
  return `mcp-deploy-${fingerprint256.replaceAll(':', '').slice(0, 16).toLowerCase()}`;
}

function systemStores(facts: TrustFacts, caFile: string, name: string): readonly TrustStore[] {
  if (facts.platform === 'darwin') return [macosStore(caFile)];
  if (facts.platform === 'win32') return [windowsStore(caFile)];
  const system = anchorSystems.find(
    ({ folder, program }) => facts.folders.has(folder) && (facts.root !== '' || facts.programs.has(program)),
  );
  if (system === undefined) return [];
  // Below a root the program of this machine would build the wrong bundle; the file is what a package or an image needs.
  const runs = (args: readonly string[]): readonly TrustCommand[] =>
    facts.root === '' ? [{ argv: [system.program, ...args] }] : [];
  return [
    {
      id: `system:${system.id}`,
      title: `the system's trust store (${system.title})`,
      anchorFile: join(facts.root, system.folder, `${name}${system.suffix}`),
      install: runs(system.args),
      remove: runs(system.removeArgs),
      read: null,
      needsRoot: facts.root === '',
      untested: system.id !== 'debian',
    },
  ];
}

function macosStore(caFile: string): TrustStore {
  const keychain = '/Library/Keychains/System.keychain';
  return {
    id: 'macos',
    title: 'the System keychain of macOS',
    anchorFile: null,
    install: [{ argv: ['security', 'add-trusted-cert', '-d', '-r', 'trustRoot', '-p', 'ssl', '-k', keychain, caFile] }],
    remove: [{ argv: ['security', 'remove-trusted-cert', '-d', caFile] }],
    read: null,
    needsRoot: true,
    untested: true,
  };
}

function windowsStore(caFile: string): TrustStore {
  return {
    id: 'windows',
    title: 'the Root store of this Windows user',
    anchorFile: null,
    install: [{ argv: ['certutil.exe', '-user', '-addstore', 'Root', caFile] }],
    // certutil takes the SHA-1 thumbprint; it is put in when the command runs, from the certificate itself.
    remove: [{ argv: ['certutil.exe', '-user', '-delstore', 'Root', '{sha1}'] }],
    read: null,
    needsRoot: false,
    untested: true,
  };
}

function nssStores(facts: TrustFacts, caFile: string, name: string): readonly TrustStore[] {
  if (!facts.programs.has('certutil') || facts.platform === 'win32') return [];
  return facts.nssDatabases.map((folder) => {
    const database = ['certutil', '-d', `sql:${folder}`];
    return {
      id: `nss:${folder}`,
      title: `the NSS database ${folder} (Chrome, Firefox)`,
      anchorFile: null,
      install: [{ argv: [...database, '-A', '-t', 'C,,', '-n', name, '-i', caFile] }],
      remove: [{ argv: [...database, '-D', '-n', name] }],
      read: { argv: [...database, '-L', '-n', name, '-a'] },
      needsRoot: false,
      untested: false,
    };
  });
}

function javaStores(facts: TrustFacts, caFile: string, name: string): readonly TrustStore[] {
  if (facts.javaKeystore === null || !facts.programs.has('keytool')) return [];
  // "changeit" is the public password of every Java trust store, not a secret; a variable keeps keytool from asking.
  const keytool = (command: string, ...args: readonly string[]): TrustCommand => ({
    argv: [
      'keytool',
      command,
      '-noprompt',
      '-keystore',
      facts.javaKeystore ?? '',
      '-storepass:env',
      'MCPD_STOREPASS',
      ...args,
    ],
    env: { MCPD_STOREPASS: 'changeit' },
  });
  return [
    {
      id: `java:${facts.javaKeystore}`,
      title: `the Java trust store ${facts.javaKeystore}`,
      anchorFile: null,
      install: [keytool('-importcert', '-alias', name, '-file', caFile)],
      remove: [keytool('-delete', '-alias', name)],
      read: {
        ...keytool('-exportcert', '-alias', name, '-rfc'),
        argv: keytool('-exportcert', '-alias', name, '-rfc').argv.filter((word) => word !== '-noprompt'),
      },
      needsRoot: facts.root === '' && facts.javaKeystore.startsWith('/'),
      untested: false,
    },
  ];
}
