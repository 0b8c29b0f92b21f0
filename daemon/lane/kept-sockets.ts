import { NbdEnd } from '../../src/nbd/end.ts';
import { system, type System } from '../system.ts';

/** Copies of clients' descriptors, made before the clients are drained; those of clients that end otherwise are closed. */
export class KeptSockets {
  readonly #calls: Pick<System, 'closeFd' | 'duplicateFd'>;
  readonly #copies = new Map<number, number>();
  readonly #drained: { readonly client: number; readonly fd: number }[] = [];

  constructor(calls: Pick<System, 'closeFd' | 'duplicateFd'> = system) {
    this.#calls = calls;
  }

  /** `fd` is open: its client has not ended. */
  add(client: number, fd: number): void {
    this.#copies.set(client, this.#calls.duplicateFd(fd));
  }

  onClosed(client: number, end: NbdEnd): void {
    const fd = this.#copies.get(client);
    if (fd === undefined) return;
    this.#copies.delete(client);
    if (end === NbdEnd.drained) this.#drained.push({ client, fd });
    else this.#calls.closeFd(fd);
  }

  /** Of those that have been drained. */
  get sockets(): readonly { readonly client: number; readonly fd: number }[] {
    return this.#drained;
  }
}
