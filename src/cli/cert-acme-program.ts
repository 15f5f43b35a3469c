import type { Command } from 'commander';
import type { MakeCommand } from './make-command.ts';

/** Certificates that somebody else signs, and their renewal. */
export function addAcmeCommands(make: MakeCommand, cert: Command): void {
  make(
    'acme [names...]',
    'get a certificate from Let’s Encrypt or another ACME authority',
    defineCertAcme,
    async (context, args, options) => (await import('./commands/cert-acme.ts')).runCertAcme(context, args, options),
    cert,
  );

  make(
    'renew',
    'renew the certificate when it is due, and prove that it is served',
    defineCertRenew,
    async (context, _, options) => (await import('./commands/cert-renew.ts')).runCertRenew(context, options),
    cert,
  );
}

function defineCertAcme(command: Command): void {
  command
    .option('--email <address>', 'contact of the account with the authority')
    .option('--agree-tos', 'you have read and accept the terms of the authority')
    .option('--directory <url>', 'letsencrypt, letsencrypt-staging, or the URL of another authority')
    .option('--ca <path>', 'PEM file of the CA that the directory’s own certificate is from')
    .option('--challenge <kind>', 'http-01, tls-alpn-01 or dns-01')
    .option('--listen <address>', 'where the challenge listener stands for a moment, for example :80')
    .option('--webroot <dir>', 'folder that your web server serves on port 80, instead of a listener')
    .option('--dns-hook <program...>', 'program that sets the DNS record: add|remove NAME VALUE follow')
    .option('--dns-server <address...>', 'DNS servers to ask whether the record is there')
    .option('--eab-key-id <id>', 'external account binding: the key identifier')
    .option('--eab-key-file <path>', 'external account binding: file with the HMAC key')
    .option('--profile <name>', 'certificate profile, where the authority offers them')
    .option('--reuse-key', 'keep the private key at renewals')
    .option('--dry-run', 'rehearse with the staging directory; nothing is written')
    .option('--adopt <dir>', 'serve what certbot keeps in /etc/letsencrypt/live/NAME; certbot goes on renewing it')
    .option('--install-hook', 'with --adopt: install the deploy hook of certbot')
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy cert acme mcp.example.com --email you@example.com --agree-tos --dry-run
  mcp-deploy cert acme mcp.example.com --agree-tos --webroot /var/www/html
  mcp-deploy cert acme '*.example.com' --agree-tos --dns-hook /usr/local/bin/dns-hook
  mcp-deploy cert acme --adopt /etc/letsencrypt/live/mcp.example.com

Exit codes
  0 done or nothing to do   2 wrong input   3 refused before any change
  4 failed, everything undone   5 failed, undo incomplete   130 interrupted, undone
`,
    );
}

function defineCertRenew(command: Command): void {
  command
    .option('--force', 'renew now, due or not')
    .option('--dry-run', 'say what would be done; nothing is written')
    .option(
      '--install-timer [kind]',
      'run this twice a day: systemd, systemd-user, launchd, cron or print (a crontab line)',
    )
    .option('--exit-code', 'exit 10 when a certificate was renewed, for service managers')
    .addHelpText(
      'after',
      `
Due when a third of its life is left (half of it when it lives for less than ten days), or when the authority asks.

Exit codes
  0 done or not due   10 renewed (with --exit-code)   2 wrong input   3 refused before any change
  4 failed, the former certificate is back and proven   5 failed, undo incomplete   130 interrupted, undone
`,
    );
}
