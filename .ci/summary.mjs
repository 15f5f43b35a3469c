// Counts the tests of all runs, names those that needed a second try, and closes with the plain line.
// With --failed it prints the files of one report that failed, for that second try.
import { existsSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';

const [option, ...rest] = process.argv.slice(2);
if (option === '--failed') {
  for (const { name } of read(rest[0]).testResults.filter(hasFailed)) console.log(relative(process.cwd(), name));
} else {
  summarize([option, ...rest]);
}

function summarize(reports) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const report of reports) {
    const again = report.replace(/\.json$/, '.again.json');
    const second = new Map((existsSync(again) ? read(again).testResults : []).map((file) => [file.name, file]));
    for (const file of read(report).testResults) {
      const last = second.get(file.name) ?? file;
      if (last !== file)
        for (const { fullName } of file.assertionResults.filter(hasFailed)) say('alone, second try', file, fullName);
      count(last, total);
    }
  }
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
}

function count(file, total) {
  // A file that cannot be loaded has no tests to fail.
  if (hasFailed(file) && !file.assertionResults.some(hasFailed)) {
    total.failed += 1;
    say('failed', file, 'as a whole');
  }
  for (const { fullName, status, failureMessages } of file.assertionResults) {
    total[status === 'passed' || status === 'failed' ? status : 'skipped'] += 1;
    if (status === 'passed' && failureMessages.length > 0) say('second try', file, fullName);
    if (status === 'failed') say('failed', file, fullName);
  }
}

function say(what, { name }, test) {
  console.log(`${what}: ${relative(process.cwd(), name)}: ${test}`);
}

function hasFailed({ status }) {
  return status === 'failed';
}

/** A run without a report has failed as a whole. */
function read(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return { testResults: [{ name: file, status: 'failed', assertionResults: [] }] };
  }
}
