import { isDeepStrictEqual } from 'node:util';
import type { ListenPlace, SocketListener, SocketListeners } from '../socket-listener.ts';

export interface VolumeDoorsOptions {
  readonly listeners: Pick<SocketListeners, 'listen'>;
  /** Serves a client, whose end `clientGone` must tell by this number. Rejects when it cannot; then the client is gone. */
  readonly serve: (client: number, fd: number) => Promise<void>;
  readonly onRefused: (error: Error) => void;
}

interface Door {
  readonly place: ListenPlace;
  readonly listener: SocketListener;
}

/** Where NBD clients of one volume come in. */
export class VolumeDoors {
  readonly #options: VolumeDoorsOptions;
  #doors: Door[] = [];
  /** Clients that a listener has accepted and still counts. */
  readonly #accepted = new Map<number, SocketListener>();
  #nextClient = 0;

  constructor(options: VolumeDoorsOptions) {
    this.#options = options;
  }

  /** Clients that are in. */
  get clients(): number {
    return this.#accepted.size;
  }

  /** A number that no other client of the volume has. */
  newClient(): number {
    return this.#nextClient++;
  }

  open(place: ListenPlace): void {
    const listener: SocketListener = this.#options.listeners.listen(place, (fd) => {
      const client = this.newClient();
      this.#accepted.set(client, listener);
      this.#options.serve(client, fd).catch((error: unknown) => {
        this.clientGone(client);
        this.#options.onRefused(error as Error);
      });
    });
    this.#doors.push({ place, listener });
  }

  /** Those that are not open yet. Throws the first failure, when all others are open. */
  openAll(places: readonly ListenPlace[]): void {
    let failure: unknown;
    for (const place of places) {
      if (this.#doors.some((door) => isDeepStrictEqual(door.place, place))) continue;
      try {
        this.open(place);
      } catch (error) {
        failure ??= error;
      }
    }
    if (failure !== undefined) throw failure as Error;
  }

  /** Closes all but these; clients that are in stay. Resolves with the failures when the places are free. */
  async closeAllBut(places: readonly ListenPlace[]): Promise<Error[]> {
    const stays = ({ place }: Door): boolean =>
      places.some((other) => isDeepStrictEqual(other, place));
    const closing = this.#doors.filter((door) => !stays(door));
    this.#doors = this.#doors.filter(stays);
    const ends = await Promise.allSettled(closing.map(async ({ listener }) => listener.close()));
    return ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as Error] : []));
  }

  clientGone(client: number): void {
    this.#accepted.get(client)?.clientClosed();
    this.#accepted.delete(client);
  }
}
