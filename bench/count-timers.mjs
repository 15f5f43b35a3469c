// Loaded into a server under soak: writes once a second how many of its own timers are running, those that do not keep a
// process alive included. A timer that nobody clears holds what it closes over, long before memory shows it.
import { writeFileSync } from 'node:fs';

const file = process.env['SOAK_TIMERS_FILE'];
// Upstreams inherit the environment; the figure is of the server alone.
delete process.env['SOAK_TIMERS_FILE'];
if (file !== undefined) {
  const running = new Set();
  const originals = { setTimeout: globalThis.setTimeout, setInterval: globalThis.setInterval };
  for (const [name, original] of Object.entries(originals)) {
    globalThis[name] = (...given) => {
      const timer = original(...given);
      running.add(timer);
      return timer;
    };
  }
  originals
    .setInterval(() => {
      // Node marks what has fired or was cleared.
      for (const timer of running) if (timer._destroyed === true) running.delete(timer);
      writeFileSync(file, String(running.size));
    }, 1_000)
    .unref();
}
