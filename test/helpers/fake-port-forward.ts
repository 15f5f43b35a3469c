import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { constants, createDeflate, createInflate, type Deflate, type Inflate } from 'node:zlib';

/**
 * The far end of `kubectl port-forward`: SPDY/3.1, with a stream for errors and one for data for each connection that is forwarded.
 * Every stream of data is a connection to a port of this machine. Newer clients ask for a WebSocket first and fall back to this.
 * Source: the SPDY/3.1 draft of the Chromium project, and k8s.io/kubelet/pkg/cri/streaming/portforward.
 */
export function acceptForward(request: IncomingMessage, socket: Duplex, port: number): void {
  if (!/^SPDY\/3\.1$/i.test(request.headers.upgrade ?? '')) {
    socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
    return;
  }
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n',
  );
  const inflate = createInflate({ dictionary });
  const deflate = createDeflate({ dictionary, flush: constants.Z_SYNC_FLUSH });
  const targets = new Map<number, Socket>();
  let pending = Buffer.alloc(0);
  // One header block after another: each goes on where the compression of the last one ended.
  let turn = Promise.resolve();
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 8 && pending.length >= 8 + pending.readUIntBE(5, 3)) {
      const end = 8 + pending.readUIntBE(5, 3);
      const frame = pending.subarray(0, end);
      pending = pending.subarray(end);
      turn = turn.then(() => take(frame));
    }
  });
  socket.on('error', () => {}).on('close', () => targets.forEach((target) => target.destroy()));

  const take = async (frame: Buffer): Promise<void> => {
    const flags = frame[4] ?? 0;
    if ((frame[0] ?? 0) < 128) {
      const target = targets.get(frame.readUInt32BE(0) & 0x7f_ff_ff_ff);
      if (frame.length > 8) target?.write(frame.subarray(8));
      if (flags & 1) target?.end();
      return;
    }
    const type = frame.readUInt16BE(2);
    const id = frame.length >= 12 ? frame.readUInt32BE(8) & 0x7f_ff_ff_ff : 0;
    if (type === 1) await open(id, frame.subarray(18));
    // A ping is answered with itself.
    else if (type === 6) socket.write(frame);
    else if (type === 3) targets.get(id)?.destroy();
  };

  const open = async (id: number, block: Buffer): Promise<void> => {
    const headers = parseHeaders(await pass(inflate, block));
    const reply = await pass(deflate, headerBlock({}));
    socket.write(control(2, Buffer.concat([uint32(id), reply])));
    if (headers['streamtype'] !== 'data') return;
    const target = connect(port, '127.0.0.1');
    targets.set(id, target);
    target.on('data', (bytes: Buffer) => socket.write(data(id, bytes)));
    target.on('end', () => socket.write(data(id, Buffer.alloc(0), 1))).on('error', () => target.destroy());
  };
}

/** What a compressor gives for one piece, up to its flush. */
function pass(stream: Inflate | Deflate, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    const collect = (part: Buffer): void => void parts.push(part);
    stream.on('data', collect);
    stream.once('error', reject);
    stream.write(bytes, () => {
      stream.flush(constants.Z_SYNC_FLUSH, () => {
        stream.off('data', collect);
        stream.off('error', reject);
        resolve(Buffer.concat(parts));
      });
    });
  });
}

function parseHeaders(block: Buffer): Record<string, string> {
  const headers: Record<string, string> = {};
  let at = 4;
  const next = (): string => {
    const length = block.readUInt32BE(at);
    const text = block.toString('utf8', at + 4, at + 4 + length);
    at += 4 + length;
    return text;
  };
  for (let count = block.readUInt32BE(0); count > 0; count -= 1) {
    const name = next();
    headers[name.toLowerCase()] = next();
  }
  return headers;
}

function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  const texts = Object.entries(headers).flat();
  return Buffer.concat([
    uint32(texts.length / 2),
    ...texts.flatMap((text) => [uint32(Buffer.byteLength(text)), Buffer.from(text)]),
  ]);
}

function control(type: number, payload: Buffer): Buffer {
  const head = Buffer.from([0x80, 3, 0, type, 0, 0, 0, 0]);
  head.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([head, payload]);
}

function data(id: number, bytes: Buffer, flags = 0): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(id, 0);
  head[4] = flags;
  head.writeUIntBE(bytes.length, 5, 3);
  return Buffer.concat([head, bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Words that both ends know before the first byte: part of the protocol. */
const words =
  'options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow ' +
  'authorization cache-control connection content-base content-encoding content-language content-length content-location ' +
  'content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match ' +
  'if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range ' +
  'referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get ' +
  'status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin';
const rest =
  '100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information' +
  '204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error' +
  '501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, ' +
  'Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,' +
  'text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.';
const dictionary = Buffer.concat([
  ...words.split(' ').flatMap((word) => [uint32(word.length), Buffer.from(word.replace('_', ' '))]),
  Buffer.from(rest),
]);
