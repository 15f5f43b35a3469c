/** What a format needs beside the report: plain data and a reader of templates, so that formatting stays pure. */
export interface ReportFrame {
  /** Version of mcp-deploy. */
  readonly version: string;
  /** Text of a file under templates/. */
  readonly templates: (path: string) => string;
}
