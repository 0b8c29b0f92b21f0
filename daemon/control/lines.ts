import type { Socket } from 'node:net';

const newline = 0x0a;

/**
 * Calls `onLine` with every line that comes, without its newline. A peer that sends more than `maximumBytes` without a newline is
 * cut off. Bytes are split before they are decoded, so that a character may arrive in pieces.
 */
export function readLines(
  socket: Socket,
  maximumBytes: number,
  onLine: (line: string) => void,
): void {
  let pieces: Buffer[] = [];
  let pendingBytes = 0;
  socket.on('data', (chunk: Buffer) => {
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      pieces.push(chunk.subarray(start, end));
      onLine(Buffer.concat(pieces).toString());
      pieces = [];
      pendingBytes = 0;
      start = end + 1;
    }
    if (start === chunk.length) return;
    pieces.push(chunk.subarray(start));
    pendingBytes += chunk.length - start;
    if (pendingBytes > maximumBytes) socket.destroy();
  });
}
