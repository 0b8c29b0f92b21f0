/** A machine made up for the checks of `iserctl doctor`: files as text, directories as what their paths imply. */
import type { Machine } from '../../daemon/doctor/machine.ts';
import type { NativeRdmaDeviceState } from '../../src/reactor/native.ts';

export class FakeMachine implements Machine {
  readonly files = new Map<string, string>();
  /** What `access` answers instead of '' or "ENOENT". */
  readonly refusals = new Map<string, string>();
  readonly networks = new Map<string, string[]>();
  devices: NativeRdmaDeviceState[] = [];
  nbds: { index: number; connected: boolean }[] = [];
  netlinkError: Error | undefined;
  readonly kernelRelease = '6.1.0-test';

  constructor(files: Readonly<Record<string, string>> = {}) {
    this.add(files);
  }

  add(files: Readonly<Record<string, string>>): this {
    for (const [path, text] of Object.entries(files)) this.files.set(path, text);
    return this;
  }

  read(path: string): string | undefined {
    return this.files.get(path)?.trim();
  }

  list(path: string): string[] {
    const inside = [...this.files.keys()].filter((file) => file.startsWith(`${path}/`));
    return [...new Set(inside.map((file) => file.slice(path.length + 1).split('/')[0]))].sort();
  }

  access(path: string): string {
    const exists = this.files.has(path) || this.list(path).length > 0;
    return this.refusals.get(path) ?? (exists ? '' : 'ENOENT');
  }

  addresses(name: string): string[] {
    return this.networks.get(name) ?? [];
  }

  rdmaDevices(): readonly NativeRdmaDeviceState[] {
    return this.devices;
  }

  nbdStatus(): Promise<readonly { readonly index: number; readonly connected: boolean }[]> {
    return this.netlinkError === undefined
      ? Promise.resolve(this.nbds)
      : Promise.reject(this.netlinkError);
  }
}
