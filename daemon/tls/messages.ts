/** What the main thread and the TLS relay's thread say to each other. Descriptors are numbers: both threads have the same. */
export interface RelayListener {
  readonly listener: number;
  /** Listening on TCP; the relay's to close. */
  readonly fd: number;
  readonly maximumClients: number;
  /** From connecting to the end of the TLS handshake. */
  readonly handshakeMs: number;
  /** PEM. */
  readonly certificate: Uint8Array;
  /** PEM, in shared memory: overwritten by the relay as soon as it is read. */
  readonly key: Uint8Array;
  /** PEM. */
  readonly clientCa: Uint8Array;
}

export type RelayRequest =
  | ({ readonly request: 'listen' } & RelayListener)
  | { readonly request: 'limit'; readonly maximumClients: number }
  | { readonly request: 'close'; readonly listener: number };

export type RelayEvent =
  /** A client has shown its certificate: `fd` is a socket that speaks plain NBD, greeting and client flags still to come. */
  | { readonly event: 'client'; readonly listener: number; readonly fd: number }
  /** The listening socket is, so that its port can be bound anew. */
  | { readonly event: 'closed'; readonly listener: number }
  | { readonly event: 'refused'; readonly listener: number; readonly reason: string };
