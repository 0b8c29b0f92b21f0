import { expect } from 'chai';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseConfig } from '../../../../daemon/config/load.ts';
import {
  defaultInitiatorName,
  randomIsid,
  type VolumeSpec,
} from '../../../../daemon/volume/spec.ts';
import { planVolume } from '../../../../daemon/volume/plan.ts';
import type { Config } from '../../../../daemon/config/schema.ts';
import { nameDefect } from '../../../../src/iscsi/names.ts';

function volumeSpecs(config: Config): VolumeSpec[] {
  return config.volume.map((volume) => planVolume(volume, config).spec);
}

function specs(...lines: string[]): VolumeSpec[] {
  const text = `
[initiator]
name = "iqn.2026-11.test:us"
[[volume]]
name = "data"
url = "iser://[fe80::1]/iqn.2026-11.test:disk/3"
device = "auto"
${lines.join('\n')}
`;
  return volumeSpecs(parseConfig(text, 'iserd.toml'));
}

describe('the specification of a volume', () => {
  it('has one session for each lane, with ISIDs of their own', () => {
    const [{ sessions }] = specs('lanes = 3');
    expect(sessions).to.have.length(3);
    const isids = sessions.map(({ isid }) => Buffer.from(isid).toString('hex'));
    expect(new Set(isids)).to.have.property('size', 3);
  });

  it('has the same ISIDs at the next start, so that its sessions are reinstated', () => {
    expect(specs()[0].sessions[0].isid).to.deep.equal(specs()[0].sessions[0].isid);
  });

  it('has other ISIDs for another volume name', () => {
    const other = specs(
      '[[volume]]',
      'name = "other"',
      'url = "iser://[fe80::1]/iqn.2026-11.test:disk/3"',
      'socket = "/s"',
    );
    expect(other[1].sessions[0].isid).not.to.deep.equal(other[0].sessions[0].isid);
  });

  it('shows its target with brackets around an IPv6 address', () => {
    expect(specs()[0].target).to.equal('iser://[fe80::1]:3260/iqn.2026-11.test:disk/3');
  });

  it('has the portal of the URL first, then the others, each once', () => {
    const [{ sessions }] = specs(
      'portals = ["10.0.0.6", "[fe80::2]:3261", "fe80.example:860", "[fe80::1]:3260", "10.0.0.6"]',
    );
    expect(sessions[0].portals).to.deep.equal([
      { host: 'fe80::1', port: 3260 },
      { host: '10.0.0.6', port: 3260 },
      { host: 'fe80::2', port: 3261 },
      { host: 'fe80.example', port: 860 },
    ]);
  });

  it('has no device when the file says none', () => {
    const [spec] = volumeSpecs(
      parseConfig(
        '[[volume]]\nname = "a"\nurl = "iscsi://h/iqn.2026-11.test:d/0"\ndevice = "none"\nsocket = "/s"\n',
        'f',
      ),
    );
    expect(spec).to.include({ device: undefined, socket: '/s' });
  });

  it('carries times in milliseconds, and waiting for ever as Infinity', () => {
    const [
      {
        sessions: [session],
      },
    ] = specs('replacement_timeout = -1', 'login_timeout = 7', 'nop_interval = 2');
    expect(session).to.include({
      replacementTimeoutMs: Infinity,
      loginTimeoutMs: 7000,
      startTimeoutMs: 14_000,
      nopIntervalMs: 2000,
    });
  });

  it('reads the CHAP secrets of both directions', () => {
    const directory = mkdtempSync(join(tmpdir(), 'iserd-spec-'));
    try {
      const path = join(directory, 'secret');
      writeFileSync(path, 'ours');
      chmodSync(path, 0o600);
      const pair = (prefix: string): string[] => [
        `${prefix}chap_user = "u"`,
        `${prefix}chap_secret_file = "${path}"`,
      ];
      const [
        {
          sessions: [session],
        },
      ] = specs(...pair(''), ...pair('mutual_'));
      const account = { user: 'u', secret: new TextEncoder().encode('ours') };
      expect(session.chap).to.deep.equal(account);
      expect(session.mutualChap).to.deep.equal(account);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('names of ours', () => {
  it('make a valid iSCSI name of any host name', () => {
    expect(nameDefect(defaultInitiatorName())).to.equal(undefined);
  });

  it('make ISIDs of format "random" for one-shot logins', () => {
    expect(randomIsid()).to.have.length(6);
    expect(randomIsid()[0] & 0xc0).to.equal(0x80);
  });
});
