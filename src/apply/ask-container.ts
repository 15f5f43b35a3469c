import type { ComposeProject } from '../plan/compose-project.ts';
import type { ApplyPorts } from './ports.ts';

const timeoutMs = 60_000;

/**
 * What /readyz answers inside of a container; null when nothing does. Asked in there: the page is not published, and a proxy in
 * front may send to another one.
 */
export async function askContainer(
  id: string,
  ready: ComposeProject['ready'],
  { processes }: Pick<ApplyPorts, 'processes'>,
): Promise<{ readonly status: number; readonly body: string } | null> {
  const script =
    `require('node:${ready.scheme}').get({host:'127.0.0.1',port:${ready.port},path:'/readyz',rejectUnauthorized:false,agent:false,timeout:4000},` +
    `(r)=>{let b='';r.on('data',(c)=>b+=c).on('end',()=>require('node:fs').writeSync(1,JSON.stringify({status:r.statusCode,body:b})))})` +
    `.on('timeout',function(){this.destroy()}).on('error',()=>{process.exitCode=1})`;
  const { exitCode, output } = await processes.run(['docker', 'exec', id, 'node', '-e', script], timeoutMs);
  return exitCode === 0 ? (JSON.parse(output) as { status: number; body: string }) : null;
}
