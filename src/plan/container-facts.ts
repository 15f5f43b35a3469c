/** What runs the containers of a deployment, and what of it is there. */
export interface ContainerFacts {
  readonly engine: EngineFact;
  /** Program and first arguments of Compose; null where there is none. */
  readonly compose: { readonly argv: readonly string[]; readonly major: 1 | 2 } | null;
  /** Whether `docker build` may use BuildKit. */
  readonly buildx: boolean;
  /** Of the images that are wanted, those that the engine has. */
  readonly images: readonly string[];
  /** Of the project of this deployment, also what does not run. */
  readonly containers: readonly ContainerFact[];
  /** Folder of another deployment of the same name, to which these containers belong; absent while they are of this one. */
  readonly othersFolder?: string;
  /** Hashes of the files that containers are given, by path; absent ones are missing. */
  readonly secretSources: Readonly<Record<string, string>>;
  /** Folders of copies of them, by number: hash of each copy by its name. */
  readonly secretCopies: Readonly<Record<number, Readonly<Record<string, string>>>>;
  /** Who runs this command; files of root are given to a user that is nobody else. */
  readonly uid: number;
  readonly gid: number;
}

/** Whether the engine answers, and as what; otherwise why not. */
export type EngineFact =
  | { readonly state: 'ready'; readonly version: string; readonly swarm: 'manager' | 'worker' | 'off' }
  | { readonly state: 'absent' }
  | { readonly state: 'denied' }
  | { readonly state: 'silent'; readonly words: string };

export interface ContainerFact {
  readonly id: string;
  /** Of Compose: server, proxy, redis … */
  readonly service: string;
  readonly running: boolean;
  readonly image: string;
  /** What our label says that it was made from. */
  readonly config: string;
  /** Made by `compose run`: a trial of ours. */
  readonly oneOff: boolean;
  /** Published on this machine. */
  readonly ports: readonly number[];
  /** Folder of the Compose file that it was made from; absent where nothing says so. */
  readonly folder?: string;
}
