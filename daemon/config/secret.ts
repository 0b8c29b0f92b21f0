/**
 * Secrets in memory. There is one copy of each, in memory that threads share: a message to a lane passes it on without another one.
 * Sessions need it as long as they live, for every login; then it is overwritten.
 */

/** Moves the bytes into shared memory and overwrites the original. */
export function keepSecret(bytes: Uint8Array): Uint8Array {
  const secret = new Uint8Array(new SharedArrayBuffer(bytes.length));
  secret.set(bytes);
  bytes.fill(0);
  return secret;
}

/** Overwrites them, for all threads. */
export function forget(...secrets: readonly (Uint8Array | undefined)[]): void {
  for (const secret of secrets) secret?.fill(0);
}
