/**
 * Secrets in memory. There is one copy of each, in memory that threads share: a message to a lane passes it on without another one.
 * Sessions need it as long as they live, for every login; then it is overwritten.
 */

/** Those that are not forgotten yet. */
const kept = new Set<Uint8Array>();
/** Shorter ones are no secrets (RFC 7143 §12.1.3 wants 12 bytes), and taking them out would garble every line. */
const shortestRedacted = 6;
const redactedMark = Buffer.from('[redacted]');

/** Moves the bytes into shared memory and overwrites the original. */
export function keepSecret(bytes: Uint8Array): Uint8Array {
  const secret = new Uint8Array(new SharedArrayBuffer(bytes.length));
  secret.set(bytes);
  bytes.fill(0);
  kept.add(secret);
  return secret;
}

/** Overwrites them, for all threads. */
export function forget(...secrets: readonly (Uint8Array | undefined)[]): void {
  for (const secret of secrets) {
    if (secret === undefined) continue;
    secret.fill(0);
    kept.delete(secret);
  }
}

/** The text without any secret that is kept: the last barrier before a log, for what no other one has foreseen. */
export function withoutKeptSecrets(text: string): string {
  let bytes: Buffer | undefined;
  for (const secret of kept) {
    if (secret.length < shortestRedacted) continue;
    bytes ??= Buffer.from(text);
    for (let at = bytes.indexOf(secret); at >= 0; at = bytes.indexOf(secret)) {
      const rest = bytes.subarray(at + secret.length);
      bytes = Buffer.concat([bytes.subarray(0, at), redactedMark, rest]);
    }
  }
  return bytes === undefined ? text : bytes.toString();
}
