import type { JudgeValue } from '../../deployment/schema-compiler.ts';
import { ToolFailure, type ToolOutput } from './tool-runner.ts';

/**
 * JSON text of a tool's result. With an output schema the value becomes
 * `structuredContent`, and its JSON the text beside it, for older clients.
 * Throws a ToolFailure when the value is not what the schema promises.
 */
export function renderToolResult(output: ToolOutput, judgeOutput: JudgeValue | null): string {
  if (output.kind === 'text' && judgeOutput === null) return textResult(output.text);
  const value = output.kind === 'text' ? parseText(output.text) : output.value;
  if (output.kind === 'value' && asksForInput(value)) return inputRequiredResult(value);
  if (hasContent(value)) {
    const { structuredContent } = value as { structuredContent?: unknown };
    if (judgeOutput !== null && (value as { isError?: unknown }).isError !== true)
      check(structuredContent, judgeOutput);
    return JSON.stringify(value);
  }
  if (judgeOutput === null) return textResult(value === undefined ? '' : JSON.stringify(value));
  check(value, judgeOutput);
  const json = JSON.stringify(value);
  return `{"content":[{"type":"text","text":${JSON.stringify(json)}}],"structuredContent":${json}}`;
}

/** A module that needs its client returns `inputRequests`, a `requestState`, or both, and is called again with the answers. */
export interface AsksForInput {
  readonly inputRequests?: unknown;
  readonly requestState?: unknown;
}

export function asksForInput(value: unknown): value is AsksForInput {
  if (typeof value !== 'object' || value === null || 'content' in value || 'messages' in value) return false;
  const { inputRequests, requestState } = value as AsksForInput;
  return (typeof inputRequests === 'object' && inputRequests !== null) || typeof requestState === 'string';
}

/** InputRequiredResult of MCP 2026-07-28. */
export function inputRequiredResult({ inputRequests, requestState }: AsksForInput): string {
  return JSON.stringify({ resultType: 'input_required', inputRequests, requestState });
}

export function errorResult(text: string): string {
  return `{"content":[{"type":"text","text":${JSON.stringify(text)}}],"isError":true}`;
}

function textResult(text: string): string {
  return `{"content":[{"type":"text","text":${JSON.stringify(text)}}]}`;
}

function parseText(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new ToolFailure('it gave text that is not JSON, though it has an outputSchema');
  }
}

function check(value: unknown, judge: JudgeValue): void {
  const problem = judge(value);
  if (problem !== null) throw new ToolFailure(`it gave what its outputSchema does not allow: ${problem}`);
}

/** A module may give a whole result. */
function hasContent(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Array.isArray((value as { content?: unknown }).content);
}
