/** Makes the connections of one session: all alike, but for what a refused login has taught. */
import type { ConnectionEvents, ConnectionOptions } from './connection-contract.ts';
import { Connection } from './connection.ts';
import type { LoginStep } from './login-contract.ts';

export class ConnectionFactory {
  readonly #options: ConnectionOptions;
  readonly #events: ConnectionEvents;
  /** What the next login is to offer instead of what was configured. */
  #chapAlgorithms: readonly number[] | undefined;

  constructor(options: ConnectionOptions, events: ConnectionEvents) {
    this.#options = options;
    this.#events = events;
  }

  /** Throws what the transport or the login engine throws. */
  make(): Connection {
    const { login } = this.#options;
    const chapAlgorithms = this.#chapAlgorithms ?? login.chapAlgorithms;
    return new Connection(
      chapAlgorithms === undefined
        ? this.#options
        : { ...this.#options, login: { ...login, chapAlgorithms } },
      this.#events,
    );
  }

  /** Whether the next login will try another way, which may succeed where this one was refused. */
  onLoginFailed(outcome: Extract<LoginStep, { kind: 'fail' }>): boolean {
    const { retryWithChapAlgorithms } = outcome;
    const isNew = retryWithChapAlgorithms !== undefined && this.#chapAlgorithms === undefined;
    this.#chapAlgorithms = retryWithChapAlgorithms;
    return isNew;
  }
}
