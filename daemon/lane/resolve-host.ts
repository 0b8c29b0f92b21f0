import { lookup } from 'node:dns/promises';

/** All addresses of a host in the order that the system prefers (getaddrinfo(3)); a numeric address is its own. */
export async function resolveHost(host: string): Promise<string[]> {
  const addresses = await lookup(host, { all: true });
  return addresses.map(({ address }) => address);
}
