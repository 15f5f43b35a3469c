import type { Exchange } from './exchange.ts';

/** Closes the connection once the answer is out; what still arrives until then is thrown away. */
export function endAfterAnswer({ req, res }: Pick<Exchange, 'req' | 'res'>): void {
  res.on('finish', () => {
    const lingering = setTimeout(() => req.destroy(), 500);
    lingering.unref();
  });
  req.resume();
}
