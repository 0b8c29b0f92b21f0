import { expect } from 'chai';
import { parseConfig } from '../../../../daemon/config/load.ts';
import { restartKeys } from '../../../../daemon/config/restart-keys.ts';
import type { ListenPlace } from '../../../../daemon/socket-listener.ts';
import { diffVolumes, type VolumeChange } from '../../../../daemon/volume/diff.ts';
import type { VolumePlan } from '../../../../daemon/volume/plan.ts';
import { makeVolumeSpec } from '../../../../daemon/volume/spec.ts';

const secret = (text: string): Uint8Array => {
  const bytes = new Uint8Array(new SharedArrayBuffer(text.length));
  bytes.set(new TextEncoder().encode(text));
  return bytes;
};

function plan(
  lines: readonly string[] = [],
  { password = 'secret', initiatorName = 'iqn.2026-11.test:us', name = 'data', url = '' } = {},
): VolumePlan {
  const defaults = [
    '[[volume]]',
    `name = "${name}"`,
    `url = "${url === '' ? 'iscsi://10.0.0.5/iqn.2026-11.test:d/1' : url}"`,
  ];
  const door = lines.some((line) => line.startsWith('device')) ? [] : ['device = "auto"'];
  const [config] = parseConfig([...defaults, ...door, ...lines].join('\n'), 'f').volume;
  const chap = { user: 'u', secret: secret(password) };
  return {
    config,
    spec: makeVolumeSpec({
      initiatorName,
      volume: config,
      chap,
      mutualChap: undefined,
      stableIsid: true,
    }),
  };
}

function change(before: VolumePlan, after: VolumePlan, devicePath?: string): VolumeChange {
  return diffVolumes([{ plan: before, devicePath }], [after])[0];
}

describe('the difference between the volumes that are served and those that are wanted', () => {
  it('is nothing for a volume that was read again', () => {
    expect(change(plan(), plan())).to.include({ kind: 'unchanged', name: 'data' });
  });

  it('tells volumes by name, and keeps the order of those that are wanted', () => {
    const [one, two, three] = ['one', 'two', 'three'].map((name) => plan([], { name }));
    const running = [one, two].map((each) => ({ plan: each, devicePath: undefined }));
    expect(diffVolumes(running, [three, two]).map(({ kind, name }) => [name, kind])).to.deep.equal([
      ['three', 'added'],
      ['two', 'unchanged'],
      ['one', 'removed'],
    ]);
  });

  const effects: readonly (readonly [string, 'live' | 'login' | 'device'])[] = [
    ['required = true', 'live'],
    ['force_detach = true', 'live'],
    ['socket = "/run/s"', 'live'],
    ['listen = "127.0.0.1:10810"', 'live'],
    ['portals = ["10.0.0.6"]', 'login'],
    ['lanes = 2', 'login'],
    ['replacement_timeout = -1', 'login'],
    ['command_timeout = 7', 'login'],
    ['login_timeout = 7', 'login'],
    ['nop_interval = 7', 'login'],
    ['nop_timeout = 7', 'login'],
    ['dead_conn_timeout = 7', 'login'],
    ['header_digest = "crc32c"', 'login'],
    ['data_digest = "crc32c"', 'login'],
    ['read_only = true', 'device'],
    ['device = "/dev/nbd7"', 'device'],
  ];
  for (const [line, effect] of effects) {
    it(`is "${effect}" for ${line}, and names the key`, () => {
      const found = change(plan(), plan([line]));
      expect(found).to.deep.include({ kind: 'changed', effect, keys: [line.split(' ')[0]] });
    });
  }

  it('is the strongest of all effects', () => {
    const found = change(plan(), plan(['required = true', 'lanes = 2']));
    expect(found).to.deep.include({ effect: 'login', keys: ['lanes', 'required'] });
  });

  it('is a login for another way to the same unit', () => {
    const url = 'iser://10.0.0.6/iqn.2026-11.test:d/1';
    expect(change(plan(), plan([], { url }))).to.deep.include({ keys: ['url'], effect: 'login' });
  });

  for (const url of [
    'iscsi://10.0.0.5/iqn.2026-11.test:d/2',
    'iscsi://10.0.0.5/iqn.2026-11.test:e/1',
  ])
    it(`is another device for the unit ${url}`, () => {
      expect(change(plan(), plan([], { url }))).to.include({ effect: 'device' });
    });

  it('is nothing for the kernel when the file now names the device that "auto" has found', () => {
    const named = plan(['device = "/dev/nbd3"']);
    expect(change(plan(), named, '/dev/nbd3')).to.include({ effect: 'live' });
    expect(change(plan(), named, '/dev/nbd4')).to.include({ effect: 'device' });
  });

  it('sees another secret behind the same file name', () => {
    expect(change(plan(), plan([], { password: 'other' }))).to.deep.include({
      keys: ['chap_secret_file'],
      effect: 'login',
    });
  });

  it('sees another name of ours', () => {
    expect(change(plan(), plan([], { initiatorName: 'iqn.2026-11.test:them' }))).to.deep.include({
      keys: ['initiator.name'],
      effect: 'login',
    });
  });

  it('sees other certificates behind the same file names', () => {
    const tls = (fingerprint: string): VolumePlan => {
      const files = { certificate: '/c', key: '/k', clientCa: '/a', fingerprint };
      const places: ListenPlace[] = [{ address: '10.0.0.1', port: 1, tls: files }];
      const { config, spec } = plan();
      return { config, spec: { ...spec, places } };
    };
    expect(change(tls('1'), tls('1'))).to.include({ kind: 'unchanged' });
    expect(change(tls('1'), tls('2'))).to.deep.include({
      keys: ['tls_certificate'],
      effect: 'live',
    });
  });

  it('is to be tried again where a door could not be opened', () => {
    const running = { plan: plan(), devicePath: undefined, isIncomplete: true };
    expect(diffVolumes([running], [plan()])[0]).to.include({ kind: 'changed', effect: 'live' });
  });
});

describe('what only a restart takes up', () => {
  const keys = (before: string, after: string): string[] =>
    restartKeys(parseConfig(before, 'f'), parseConfig(after, 'f'));

  it('is named by table and key', () => {
    const after = '[memory]\npin_limit = "1GiB"\n[lanes]\nspin_us = 7\n[control]\ngroup = "kvm"\n';
    expect(keys('', after)).to.deep.equal(['memory.pin_limit', 'lanes.spin_us', 'control.group']);
  });

  it('is neither the log, nor limits, nor our name, nor volumes', () => {
    const after =
      '[log]\nlevel = "debug"\n[limits]\nclients = 1\n[initiator]\nname = "iqn.2026-11.test:us"\n';
    expect(keys('', after)).to.deep.equal([]);
  });
});
