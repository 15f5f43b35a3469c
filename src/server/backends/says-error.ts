/** Whether the result of a tool is an error. It is passed on unparsed, so this looks at the text; only at the ends of a long one, where the flag stands. */
export function saysError(resultJson: string): boolean {
  if (resultJson.length <= 65_536) return resultJson.includes('"isError":true');
  return resultJson.slice(0, 256).includes('"isError":true') || resultJson.slice(-256).includes('"isError":true');
}
