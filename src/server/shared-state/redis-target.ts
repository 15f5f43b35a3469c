import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { rootCertificates } from 'node:tls';
import type { RedisOptions } from 'ioredis';
import { EnvironmentError, UserError } from '../../deployment/errors.ts';
import type { RedisSettings } from '../../deployment/redis-schema.ts';

/** Where Redis is and how to get in, as its client wants it. */
export interface RedisTarget {
  readonly options: RedisOptions;
  readonly prefix: string;
  /** For the log: no password. */
  readonly shown: string;
}

const defaultPort = 6_379;

/**
 * Reads the settings, whose secrets are in their places.
 * @param name of the deployment
 * @param baseDir folder that relative paths start from
 * @throws UserError for a URL that is none, EnvironmentError when the file of the authority cannot be read.
 */
export function readRedisTarget(settings: RedisSettings, name: string, baseDir: string): RedisTarget {
  const url = URL.canParse(settings.url) ? new URL(settings.url) : null;
  if (url === null || !/^rediss?:$/.test(url.protocol) || !/^(?:\/\d{0,5})?$/.test(url.pathname)) {
    throw new UserError('The URL of Redis cannot be used', {
      why: 'It is not of the form redis://USER:PASSWORD@HOST:PORT/DB.',
      next: 'Mend redis.url, or what it refers to, or REDIS_URL.',
    });
  }
  const host = url.hostname.replace(/^\[|\]$/g, '') || '127.0.0.1';
  const port = url.port === '' ? defaultPort : Number(url.port);
  const tls = url.protocol === 'rediss:' ? readTls(settings.caFile, baseDir) : undefined;
  const [username, password] = [decode(url.username), decode(url.password)];
  const login = {
    ...(username === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
    db: Number(url.pathname.slice(1) || '0'),
    ...(tls === undefined ? {} : { tls }),
  };
  const prefix = settings.prefix ?? `mcp-deploy:${name}:`;
  const { sentinels, master } = settings;
  if (sentinels === undefined) {
    return { options: { ...login, host, port }, prefix, shown: `${url.protocol}//${url.hostname || host}:${port}` };
  }
  const places = sentinels.map((place) => {
    const colon = place.lastIndexOf(':');
    return { host: place.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(place.slice(colon + 1)) };
  });
  return {
    options: {
      ...login,
      sentinels: places,
      name: master,
      // Where Redis has a password, its Sentinels have the same or none.
      failoverDetector: true,
      updateSentinels: false,
      ...(tls === undefined ? {} : { enableTLSForSentinelMode: true, sentinelTLS: tls }),
    },
    prefix,
    shown: `${master} of ${sentinels.join(', ')}`,
  };
}

function readTls(caFile: string | undefined, baseDir: string): { readonly ca?: string[] } {
  if (caFile === undefined) return {};
  const file = resolve(baseDir, caFile);
  try {
    return { ca: [...rootCertificates, readFileSync(file, 'utf8')] };
  } catch (error) {
    throw new EnvironmentError(`The authority of Redis, ${file}, cannot be read`, {
      why: error instanceof Error ? error.message : String(error),
      next: 'Put its PEM file there, or leave redis.caFile out.',
      cause: error,
    });
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
