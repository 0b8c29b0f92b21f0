/** What the checks see of the machine: nothing but this, so that tests can make up any machine. */
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs';
import { networkInterfaces, release, type NetworkInterfaceInfo } from 'node:os';
import type { NativeRdmaDeviceState } from '../../src/reactor/native.ts';
import { system } from '../system.ts';

export interface Machine {
  /** Trimmed; undefined: it is not there, or cannot be read. */
  read(path: string): string | undefined;
  /** Names in a directory, sorted; empty when there is none. */
  list(path: string): string[];
  /** Whether we may read and write: '' or an errno's name, such as "EACCES" or "ENOENT". */
  access(path: string): string;
  readonly kernelRelease: string;
  /** Addresses of a network interface. */
  addresses(name: string): string[];
  rdmaDevices(): readonly NativeRdmaDeviceState[];
  nbdStatus(): Promise<readonly { readonly index: number; readonly connected: boolean }[]>;
}

export const thisMachine: Machine = {
  read: (path) => {
    try {
      return readFileSync(path, 'utf8').trim();
    } catch {
      return undefined;
    }
  },
  list: (path) => {
    try {
      return readdirSync(path).sort();
    } catch {
      return [];
    }
  },
  access: (path) => {
    try {
      accessSync(path, constants.R_OK | constants.W_OK);
      return '';
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? 'error';
    }
  },
  kernelRelease: release(),
  addresses: (name) => {
    const interfaces: NodeJS.Dict<NetworkInterfaceInfo[]> = networkInterfaces();
    return (interfaces[name] ?? []).map(({ address }) => address);
  },
  rdmaDevices: () => system.rdmaDevices(),
  nbdStatus: () => system.nbdStatus(),
};
