export function noteContact({ name, email }, { caller, log }) {
  log('a contact was noted', { caller });
  return `${name.trim()} <${email.toLowerCase()}>`;
}
