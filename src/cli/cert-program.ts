import type { Command } from 'commander';
import type { MakeCommand } from './make-command.ts';

/** The commands about certificates: flags, examples and exit codes; each action is loaded when it runs. */
export function addCertCommands(make: MakeCommand, cert: Command): void {
  make(
    'show [source]',
    'describe a certificate: this deployment’s, a file (PEM, DER, PKCS#12) or host:port',
    defineShow,
    async (context, args, options) => (await import('./commands/cert-show.ts')).runCertShow(context, args[0], options),
    cert,
  );
  make(
    'verify [source]',
    'name everything that would make a client refuse a certificate',
    defineVerify,
    async (context, args, options) =>
      (await import('./commands/cert-verify.ts')).runCertVerify(context, args[0], options),
    cert,
  );
  make(
    'self-signed <names...>',
    'make a certificate that vouches for itself: one machine, first tries',
    defineSelfSigned,
    async (context, args, options) =>
      (await import('./commands/cert-make.ts')).runCertSelfSigned(context, args, options),
    cert,
  );
  make(
    'ca [names...]',
    'make a private CA that can sign for these names and nothing else',
    defineCa,
    async (context, args, options) => (await import('./commands/cert-make.ts')).runCertCa(context, args, options),
    cert,
  );
  make(
    'issue [names...]',
    'issue a certificate of a private CA: for a server, a client, or a request',
    defineIssue,
    async (context, args, options) => (await import('./commands/cert-make.ts')).runCertIssue(context, args, options),
    cert,
  );
  make(
    'csr <names...>',
    'make a key and a request for your company’s CA',
    defineCsr,
    async (context, args, options) => (await import('./commands/cert-make.ts')).runCertCsr(context, args, options),
    cert,
  );
  make(
    'import <files...>',
    'take what your CA has sent: check it, put the chain in order, write the pair',
    defineImport,
    async (context, args, options) => (await import('./commands/cert-import.ts')).runCertImport(context, args, options),
    cert,
  );
  make(
    'export [certificate]',
    'write PKCS#12 (AES-256, random password), a CA bundle or a full chain',
    defineExport,
    async (context, args, options) =>
      (await import('./commands/cert-export.ts')).runCertExport(context, args[0], options),
    cert,
  );
  make(
    'revoke <certificate>',
    'put a certificate (file or serial number) on the revocation list of its CA',
    defineRevoke,
    async (context, args, options) =>
      (await import('./commands/cert-revoke.ts')).runCertRevoke(context, args[0] ?? '', options),
    cert,
  );
  make(
    'crl',
    'sign the revocation list of a CA anew, before it runs out',
    defineCrl,
    async (context, _, options) => (await import('./commands/cert-revoke.ts')).runCertCrl(context, options),
    cert,
  );
  make(
    'trust [ca]',
    'add a CA to the trust stores of this machine; shows the plan and asks first',
    defineTrust,
    async (context, args, options) =>
      (await import('./commands/cert-trust.ts')).runCertTrust(context, args[0], options),
    cert,
  );
  make(
    'untrust [ca]',
    'remove a CA from where cert trust has put it, and from nowhere else',
    defineTrust,
    async (context, args, options) =>
      (await import('./commands/cert-trust.ts')).runCertUntrust(context, args[0], options),
    cert,
  );
}

const writeCodes = `
Exit codes
  0 written   2 wrong input, or a file is there already   3 the disk or the permissions are in the way
`;

function withPassphrase(command: Command): Command {
  return command
    .option('--passphrase-file <path>', 'file that holds the passphrase, alone on one line')
    .option('--passphrase-env <name>', 'environment variable that holds it')
    .option('--passphrase-fd <number>', 'file descriptor to read it from (0 is stdin)');
}

function withOut(command: Command): Command {
  return command
    .option('--out <dir>', 'folder to write into; made (0700) when absent (default: this folder)')
    .option('--force', 'replace files that are there already');
}

function withKeyType(command: Command): Command {
  return command.option('--key-type <type>', 'ec-p256, ec-p384, rsa-2048, rsa-3072 or rsa-4096', 'ec-p256');
}

function withUsage(command: Command): Command {
  return command
    .option('--client', 'for a TLS client (clientAuth) instead of a server')
    .option('--both', 'for servers and clients');
}

function withCa(command: Command): Command {
  return command
    .option('--ca <dir>', 'folder of the CA: intermediate.crt/.key, else ca.crt/.key (default: this deployment’s CA)')
    .option('--ca-cert <path>', 'certificate of the CA, with --ca-key')
    .option('--ca-key <path>', 'key of the CA, with --ca-cert');
}

function defineShow(command: Command): void {
  withPassphrase(command).addHelpText(
    'after',
    `
Examples
  mcp-deploy cert show                       this folder's deployment
  mcp-deploy cert show mcp.example.com:443   what a server sends
  mcp-deploy cert show server.p12 --passphrase-file server.p12.password
  mcp-deploy cert show ca.crl                who is revoked

Exit codes
  0 shown   2 not a certificate, or a wrong passphrase   3 the server or file cannot be reached
`,
  );
}

function defineVerify(command: Command): void {
  withPassphrase(
    command
      .option('--name <host>', 'host that clients dial (default for host:port: that host)')
      .option('--ca-file <path>', 'the CAs that clients are given (default: this deployment’s CA, else public roots)')
      .option('--key <path>', 'the private key, to see that it belongs to the certificate')
      .option('--crl <paths...>', 'revocation lists of the CAs')
      .option('--client', 'judge it as the certificate of a TLS client'),
  ).addHelpText(
    'after',
    `
Examples
  mcp-deploy cert verify                                       this folder's deployment
  mcp-deploy cert verify mcp.example.com:443
  mcp-deploy cert verify server.crt --key server.key --ca-file ca.crt --name mcp.example.com
  mcp-deploy cert verify alice.crt --client --ca-file ca.crt --crl ca.crl

Exit codes
  0 clients accept it   1 a problem was found   2 wrong input   3 the server or file cannot be reached
`,
  );
}

function defineSelfSigned(command: Command): void {
  withOut(withUsage(withKeyType(command.option('--days <days>', 'how long it is valid, at most 824', '397'))))
    .option('--base <name>', 'beginning of the file names', 'server')
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy cert self-signed localhost 127.0.0.1 ::1
  mcp-deploy cert self-signed box.local '*.box.local' --out tls --days 90
${writeCodes}`,
    );
}

function defineCa(command: Command): void {
  withPassphrase(
    withOut(
      withKeyType(
        command
          .option('--common-name <name>', 'what trust stores show (default: mcp-deploy CA on HOST)')
          .option('--intermediate', 'make an intermediate CA as well: the root’s key can then be kept elsewhere')
          .option('--path-length <number>', 'how many CAs may stand below it (default: 0, with --intermediate 1)')
          .option('--no-constraints', 'let it sign for any name')
          .option(
            '--constrain-addresses',
            'also limit the addresses it may sign for (Bun and Electron refuse such a CA)',
          )
          .option('--encrypt', 'encrypt the key with a passphrase')
          .option('--days <days>', 'how long it is valid', '3650'),
      ),
    ),
  ).addHelpText(
    'after',
    `
Names below a DNS name are included: example.com stands for mcp.example.com too.

Examples
  mcp-deploy cert ca example.com 10.0.0.7 --out my-ca
  mcp-deploy cert ca example.com --intermediate --passphrase-file pass --out my-ca
${writeCodes}`,
  );
}

function defineIssue(command: Command): void {
  withPassphrase(
    withOut(
      withCa(
        withUsage(
          withKeyType(
            command
              .option('--days <days>', 'how long it is valid, at most 824', '397')
              .option('--common-name <name>', 'who a client is; a client then needs no names')
              .option('--csr <path>', 'sign this request instead of making a key')
              .option('--base <name>', 'beginning of the file names (default: server, or client)'),
          ),
        ),
      ),
    ),
  ).addHelpText(
    'after',
    `
Examples
  mcp-deploy cert issue mcp.example.com 10.0.0.7 --ca my-ca --out tls
  mcp-deploy cert issue '*.example.com' bücher.example.com --ca my-ca --out tls
  mcp-deploy cert issue --client --common-name 'alice laptop' --base alice --out clients
  mcp-deploy cert issue --csr server.csr --ca my-ca
${writeCodes}`,
  );
}

function defineCsr(command: Command): void {
  withOut(withUsage(withKeyType(command)))
    .option('--base <name>', 'beginning of the file names (default: server, or client)')
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy cert csr mcp.example.com --out tls
  mcp-deploy cert csr mcp.example.com 10.0.0.7 --key-type rsa-3072 --out tls
${writeCodes}`,
    );
}

function defineImport(command: Command): void {
  withPassphrase(
    withOut(
      command
        .option('--key <path>', 'the key that the request was made with')
        .option('--ca-file <path>', 'certificates of your company’s CA')
        .option('--names <names...>', 'names it must be for (default: those of the request beside the key)')
        .option('--client', 'it is for a TLS client')
        .option('--apply', 'serve it: write tls of mcp-deploy.yaml, apply, and prove it on the live socket'),
    ),
  ).addHelpText(
    'after',
    `
Takes PEM, DER, PKCS#7 (.p7b) and PKCS#12, in any order and in several files. With --force it is written in spite of problems.

Examples
  mcp-deploy cert import answer.cer --key tls/server.key --ca-file company-ca.crt
  mcp-deploy cert import server.crt chain.crt --key server.key --out live
  mcp-deploy cert import from-windows.pfx --passphrase-file pass --out tls

Exit codes
  0 written   2 wrong input, or a file is there already   3 clients would refuse it; nothing was written
`,
  );
}

function defineExport(command: Command): void {
  withPassphrase(
    withOut(
      command
        .option('--format <format>', 'p12, ca-bundle or fullchain', 'p12')
        .option('--key <path>', 'key of the certificate, for p12')
        .option('--ca-file <path>', 'the CA, for ca-bundle and fullchain')
        .option('--with-public', 'ca-bundle: the public roots too, for programs in which it replaces them'),
    ),
  ).addHelpText(
    'after',
    `
Without a passphrase flag a random password is written beside the .p12 (0600).

Examples
  mcp-deploy cert export                                  this deployment's pair as PKCS#12
  mcp-deploy cert export client.crt --key client.key --out for-alice
  mcp-deploy cert export --format ca-bundle --with-public
${writeCodes}`,
  );
}

function defineRevoke(command: Command): void {
  withPassphrase(
    withCa(
      command
        .option('--reason <reason>', 'key-compromise, superseded, cessation-of-operation …', 'unspecified')
        .option('--days <days>', 'how long the list is valid', '90'),
    ),
  ).addHelpText(
    'after',
    `
Examples
  mcp-deploy cert revoke clients/alice.crt --reason key-compromise
  mcp-deploy cert revoke 01A2B3C4 --ca my-ca
${writeCodes}`,
  );
}

function defineCrl(command: Command): void {
  withPassphrase(withCa(command.option('--days <days>', 'how long the list is valid', '90'))).addHelpText(
    'after',
    `
Examples
  mcp-deploy cert crl --ca my-ca --days 30
  mcp-deploy cert show my-ca/ca.crl
${writeCodes}`,
  );
}

function defineTrust(command: Command): void {
  command
    .option('--only <stores>', 'only these: system, nss, java, macos, windows, separated by commas')
    .option('--nss <dirs...>', 'NSS databases to add (default: those of Chrome and Firefox of this user)')
    .option('--java <path>', 'Java keystore to add (default: that of JAVA_HOME)')
    .option('--dry-run', 'show the plan and change nothing')
    .addHelpText(
      'after',
      `
With --root DIR the anchor file is written below DIR and no program of this machine runs: for images and packages.

Examples
  mcp-deploy cert trust                     this deployment's CA
  mcp-deploy cert trust my-ca/ca.crt --dry-run
  sudo mcp-deploy cert trust my-ca/ca.crt --only system --yes
  mcp-deploy cert untrust my-ca/ca.crt

Exit codes
  0 done or nothing to do   2 wrong input, or nobody can be asked   3 root is needed, or a trust store's program failed
`,
    );
}
