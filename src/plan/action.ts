import { liveLinkOf, type PairPlace } from './served-pair.ts';
import type { UnitChange, UnitManager } from './units.ts';
import type { ComposeProject } from './compose-project.ts';
import type { SwarmStack } from './swarm-stack.ts';
import type { Cluster, ClusterSecret } from './cluster.ts';
import type { AcmeOrder } from './acme-order.ts';
import type { LiveCertificate } from './live-certificate.ts';

/** One thing that apply does. What it does is in `src/apply/act.ts`, one branch for each type. */
export type Action =
  | { readonly type: 'make-directory'; readonly path: string; readonly mode: number; readonly owner?: Owner }
  | {
      readonly type: 'write-file';
      readonly path: string;
      readonly mode: number;
      readonly content: string;
      readonly owner?: Owner;
    }
  /** The permission bits, and the owner, of a file or folder of ours; what is in it stays. Never through a link. */
  | { readonly type: 'set-mode'; readonly path: string; readonly mode: number; readonly owner?: Owner }
  | { readonly type: 'remove-file'; readonly path: string }
  /** Removes an empty folder; leaves it, without error, when something is in it. */
  | { readonly type: 'remove-directory'; readonly path: string }
  | {
      readonly type: 'issue-private-ca';
      readonly certificateFile: string;
      readonly keyFile: string;
      readonly commonName: string;
      /** DNS names and IP addresses the CA may sign for (name constraints). */
      readonly names: readonly string[];
    }
  | {
      readonly type: 'issue-certificate';
      readonly caCertificateFile: string;
      readonly caKeyFile: string;
      readonly certificateFile: string;
      readonly keyFile: string;
      /** Where the new pair is written before both names point into it. */
      readonly folder: string;
      readonly names: readonly string[];
      readonly validDays: number;
      /** Who may read the pair: owner 0640 and a folder of 0750. */
      readonly owner?: Owner;
    }
  /** Moves a pair of plain files into a folder of its own; its names become links. */
  | ({ readonly type: 'move-pair' } & PairPlace)
  | { readonly type: 'create-acme-account-key'; readonly keyFile: string }
  /** Asks an ACME authority; it may take minutes. */
  | {
      readonly type: 'issue-acme-certificate';
      readonly order: AcmeOrder;
      readonly accountKeyFile: string;
      readonly certificateFile: string;
      readonly keyFile: string;
      readonly folder: string;
      /** Keeps the key that is in keyFile. */
      readonly reuseKey: boolean;
      readonly owner?: Owner;
    }
  /** Makes a key: the hash into storeFile, the key itself into keyFile (0600). */
  | {
      readonly type: 'create-api-key';
      readonly storeFile: string;
      readonly keyFile: string;
      readonly label: string;
      /** Of the store, which is then 0640. */
      readonly owner?: Owner;
    }
  | {
      readonly type: 'start-server';
      readonly argv: readonly string[];
      readonly cwd: string;
      readonly pidFile: string;
      readonly logFile: string;
    }
  | { readonly type: 'stop-server'; readonly pidFile: string; readonly graceMs: number }
  /** Starts it in the place of the one that runs, which hands its listening sockets over: nobody is refused meanwhile. */
  | ({ readonly type: 'replace-server' } & ReplacedServer)
  /** Waits for /readyz to answer 200; fails early, with the log's last lines, when the process is gone. */
  | {
      readonly type: 'wait-until-ready';
      readonly readyUrl: string;
      readonly caFile?: string;
      readonly pidFile: string;
      readonly logFile: string;
      readonly timeoutMs: number;
      /** The unit that runs it, in place of a process of ours. */
      readonly unit?: string;
      /** Of that unit. */
      readonly manager?: UnitManager;
      /** What its pid file must say that it runs with. */
      readonly configSha256?: string;
    }
  /** Makes a system user with its group, unless there is one. */
  | { readonly type: 'ensure-user'; readonly user: string; readonly home: string }
  | { readonly type: 'remove-user'; readonly user: string; readonly home: string }
  /** `sha256` is what the source must still be. */
  | {
      readonly type: 'copy-file';
      readonly from: string;
      readonly path: string;
      readonly mode: number;
      readonly owner?: Owner;
      readonly sha256: string;
    }
  /** A symbolic link of ours, renamed into place: what it points to changes in one instant. */
  | { readonly type: 'link'; readonly path: string; readonly target: string }
  /** Waits until nobody listens on the ports any more: who was told to leave takes a moment. */
  | {
      readonly type: 'wait-until-free';
      readonly ports: readonly number[];
      /** Who is to take them. */
      readonly next: string;
      readonly timeoutMs: number;
    }
  /** Starts a build and a configuration beside what runs, until they are ready, and stops them again. */
  | {
      readonly type: 'trial-server';
      /** Transient; its file and its configuration lie below /run. */
      readonly unit: string;
      readonly unitFile: string;
      readonly unitText: string;
      readonly configFile: string;
      /** The configuration that is tried, on a loopback port and without the files that the running one writes. */
      readonly configOf: string;
      readonly owner: Owner;
      readonly timeoutMs: number;
    }
  /** Brings units of the service manager to a state; how they were is in the journal. */
  | { readonly type: 'service'; readonly units: readonly UnitChange[]; readonly manager?: UnitManager }
  /** Copies a file that a container is given, for the user that it runs as; what is in it is known only now. */
  | {
      readonly type: 'copy-secret';
      readonly from: string;
      readonly path: string;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    }
  /** Builds or pulls an image. */
  | { readonly type: 'make-image'; readonly image: string; readonly argv: readonly string[] }
  /** Brings the containers of a project to its Compose file; how they were is in the journal. */
  | {
      readonly type: 'switch-containers';
      readonly project: ComposeProject;
      /** side-by-side: the new one is ready before the old one stops; in-place: the old one makes room first. */
      readonly how: 'side-by-side' | 'in-place';
      /** Tries the new one without its ports first. */
      readonly trial: boolean;
      readonly timeoutMs: number;
    }
  /** Brings a stack of a swarm to its file, and waits until each copy runs the image. */
  | {
      readonly type: 'deploy-stack';
      readonly stack: SwarmStack;
      readonly image: string;
      readonly timeoutMs: number;
    }
  | { readonly type: 'prune-stack'; readonly stack: SwarmStack }
  | { readonly type: 'remove-stack'; readonly stack: SwarmStack }
  /** Makes the namespace of a cluster from its manifest, unless it is there. */
  | { readonly type: 'make-namespace'; readonly cluster: Cluster; readonly file: string }
  /** Takes away a namespace that is ours and has nothing of others in it. */
  | { readonly type: 'remove-namespace'; readonly cluster: Cluster }
  | { readonly type: 'hand-secret'; readonly cluster: Cluster; readonly secret: ClusterSecret }
  /** Applies the manifests on the server's side and waits until the copies are rolled out. */
  | {
      readonly type: 'roll-out';
      readonly cluster: Cluster;
      /** Takes the number of copies over from whoever counted them. */
      readonly takesReplicas: boolean;
      readonly timeoutMs: number;
    }
  /** Leaves the number of copies to the autoscaler: the field stays when our manifest does not have it any more. */
  | { readonly type: 'leave-replicas'; readonly cluster: Cluster; readonly replicas: number }
  /** Objects as kubectl names them: `ingress.networking.k8s.io/mcp`. */
  | { readonly type: 'remove-objects'; readonly cluster: Cluster; readonly objects: readonly string[] }
  /** Removes what a switch has stopped. */
  | { readonly type: 'remove-stopped'; readonly project: ComposeProject }
  /** Starts, stops or removes all containers of a project. */
  | {
      readonly type: 'containers';
      readonly project: ComposeProject;
      readonly at: 'start' | 'stop' | 'restart' | 'down' | 'down-with-volumes';
    }
  /** Changes nothing: the release that is made takes these files as they are. */
  | { readonly type: 'adopt'; readonly paths: readonly string[] }
  /** Runs a program to its end, without a shell; it must end with 0. `failure` says what it means when it does not. */
  | { readonly type: 'run-command'; readonly argv: readonly string[]; readonly failure?: string }
  /** Has a new pair taken up by server and proxy, and compares what their live sockets show. */
  | { readonly type: 'serve-certificate'; readonly live: LiveCertificate }
  /** Real MCP clients of both eras: handshake, tools/list, one safe tool call. */
  | {
      readonly type: 'verify-endpoint';
      readonly url: string;
      readonly caFile?: string;
      readonly keyFile?: string;
      /** A proxy that has just been told takes its time: for this long it is asked again. */
      readonly patienceMs?: number;
      /** A port of a cluster that is forwarded to this machine for as long as it takes; the URL has no port then. */
      readonly forward?: { readonly cluster: Cluster; readonly port: number };
    };

/** By name; left out where a file belongs to whoever runs the command. */
export interface Owner {
  readonly user: string;
  readonly group: string;
}

/** A server that starts in the place of the one that runs. */
export interface ReplacedServer {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly pidFile: string;
  readonly logFile: string;
  /** How long the one that runs may take to finish its calls. */
  readonly graceMs: number;
}

/** The paths an action creates, changes or removes: what is captured before and restored on undo. */
export function pathsTouchedBy(action: Action): readonly string[] {
  switch (action.type) {
    case 'make-directory':
    case 'write-file':
    case 'set-mode':
    case 'remove-file':
    case 'remove-directory':
    case 'copy-file':
    case 'copy-secret':
    case 'link':
      return [action.path];
    case 'issue-private-ca':
      return [action.certificateFile, action.keyFile];
    case 'issue-certificate':
    case 'issue-acme-certificate':
    case 'move-pair':
      // Taken back from the end: the names first, then the link that decides, then what nothing points to any more.
      return [action.folder, liveLinkOf(action), action.keyFile, action.certificateFile];
    case 'create-acme-account-key':
      return [action.keyFile];
    case 'create-api-key':
      return [action.storeFile, action.keyFile];
    case 'start-server':
    case 'stop-server':
    case 'replace-server':
    case 'wait-until-ready':
    case 'wait-until-free':
    case 'verify-endpoint':
    case 'serve-certificate':
    case 'run-command':
    case 'ensure-user':
    case 'remove-user':
    case 'trial-server':
    case 'service':
    case 'make-image':
    case 'switch-containers':
    case 'remove-stopped':
    case 'deploy-stack':
    case 'prune-stack':
    case 'remove-stack':
    case 'containers':
    case 'make-namespace':
    case 'remove-namespace':
    case 'hand-secret':
    case 'roll-out':
    case 'leave-replicas':
    case 'remove-objects':
    case 'adopt':
      return [];
  }
}
