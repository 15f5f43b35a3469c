import { UserError } from '../deployment/errors.ts';
import { namedFiles } from '../deployment/named-files.ts';
import type { Deployment } from '../deployment/schema.ts';
import { collectSentFiles } from '../host/collect-sent-files.ts';
import type { OwnFile } from '../targets/types.ts';

/**
 * Code that upstreams and tools of a deployment name and that lies in its folder, with what it imports and what lies beside
 * it. Files that a setting names as secrets, or that look like one, are not among them.
 * @throws UserError for a file that is named and not there, and for one that is no text: such programs belong into a base image
 */
export function readOwnFiles(deployment: Deployment, folder: string): readonly OwnFile[] {
  const code = namedFiles(deployment).filter(
    ({ role, setting }) => setting.startsWith('server.') && (role === 'code' || role === 'word' || role === 'folder'),
  );
  const { files, folders } = collectSentFiles(code, folder);
  const own = files
    .filter(({ isSecret }) => !isSecret)
    .map(({ path, content, isExecutable, setting }) => {
      const text = content.toString('utf8');
      if (Buffer.byteLength(text) !== content.length || text.includes('\u0000')) {
        throw new UserError(`${path}, which goes with ${setting}, is no text.`, {
          why: 'The files of an image are laid out as text, so that they can be compared and read. Nothing was changed.',
          next: 'Put it into an image of your own, and name that as container.baseImage.',
        });
      }
      return { path, content: text, isExecutable };
    });
  // Something is started in these: a folder without a file would not be in the image.
  const empty = folders.filter((each) => !own.some(({ path }) => path.startsWith(`${each}/`)));
  return [...own, ...empty.map((each) => ({ path: `${each}/.keep`, content: '', isExecutable: false }))];
}
