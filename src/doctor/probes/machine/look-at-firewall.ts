import type { FirewallSeen } from '../../machine-observations.ts';
import { findDrop } from '../../judge-nft-ruleset.ts';
import type { MachineAccess } from '../../types.ts';
import { jsonOf } from './read-own-files.ts';

const nftTimeoutMs = 3_000;

/** Whether the rules of nftables (and so of ufw and firewalld, which write them) drop what comes to the port from outside. */
export async function lookAtFirewall(port: number, { run }: MachineAccess): Promise<FirewallSeen | null> {
  if (process.platform !== 'linux') return null;
  const { exitCode, output } = await run(['nft', '-j', 'list', 'ruleset'], nftTimeoutMs);
  const ruleset = exitCode === 0 ? jsonOf(output) : null;
  return ruleset === null ? null : { port, droppedBy: findDrop(ruleset, port) };
}
