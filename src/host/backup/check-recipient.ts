import { UserError } from '../../deployment/errors.ts';

/**
 * Encrypts nothing for a public key of age: what does not decode, or is a point that nothing can be encrypted for, is known
 * before a file is opened.
 * @param origin where it was written, such as `--recipient`
 * @throws UserError for what is none
 */
export async function checkRecipient(recipient: string, origin: string): Promise<void> {
  if (/^AGE-SECRET-KEY-/i.test(recipient)) {
    throw new UserError(`${origin} holds the secret half of a key of age, not the public one.`, {
      why: 'Whoever reads it there can open every backup.',
      next: 'Make another pair: mcp-deploy backup key',
    });
  }
  const { Encrypter } = await import('age-encryption');
  try {
    const encrypter = new Encrypter();
    encrypter.addRecipient(recipient);
    await encrypter.encrypt(new Uint8Array());
  } catch {
    throw new UserError(`${origin} ${shown(recipient)} is no public key of age.`, {
      why: /^age1[0-9a-z]+$/.test(recipient)
        ? 'Its checksum does not fit: a character is wrong or missing.'
        : 'It is a word that begins with age1.',
      next: 'Copy it whole from the output of mcp-deploy backup key, or from the second line of backup.key.',
    });
  }
}

function shown(recipient: string): string {
  const printable = recipient.replaceAll(/[^\x21-\x7e]/g, '?');
  return printable.length > 70 ? `${printable.slice(0, 69)}…` : printable;
}
