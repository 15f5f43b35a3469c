import type { DeploymentDraft } from '../../deployment/write-deployment.ts';
import type { AnswerKey, Answers } from './answers.ts';
import type { ProfileId } from './profile-ids.ts';
import type { WizardFacts } from './facts.ts';

/** One way to run a deployment: what it asks, and what the file says then. */
export interface Profile {
  readonly id: ProfileId;
  /** For a list: at most 36 characters. */
  readonly title: string;
  /** One sentence. */
  readonly about: string;
  /** What is asked beside the MCP server, the name and the keys. */
  readonly asks: readonly AnswerKey[];
  /** Programs that it needs here, each with its reason; none where files are made for elsewhere. */
  readonly needs: readonly (keyof WizardFacts['programs'])[];
  /** Whether root applies it. */
  readonly asRoot?: true;
  /** Platform that it is for; any when absent. */
  readonly platform?: NodeJS.Platform;
  /** Whether a public name is needed. */
  readonly publicName: 'needed' | 'possible' | 'none';
  /** Targets that are rendered for programs that `apply` does not manage; none: apply makes everything. */
  readonly renders: readonly string[];
  /** What is to do after that, one command a line. */
  readonly next: (answers: Answers, folder: string) => readonly string[];
  /** What the answers mean, without the MCP server behind it and the name. */
  readonly draft: (answers: Answers) => DeploymentDraft;
}
