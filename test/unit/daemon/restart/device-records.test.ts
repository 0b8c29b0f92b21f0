import { expect } from 'chai';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DeviceRecords, type DeviceRecord } from '../../../../daemon/restart/device-records.ts';

const record: DeviceRecord = {
  version: 1,
  index: 5,
  backendIdentifier: 'iserd:a:naa.1',
  owner: 'us at iqn.x LUN 0',
  sockets: 2,
  sizeBytes: 2 ** 40,
  blockSize: 512,
  readOnly: false,
  deadConnTimeoutSeconds: 86_400,
  handedOver: true,
};

describe('the record of a device', () => {
  let directory: string;
  let records: DeviceRecords;

  beforeEach(() => {
    directory = join(mkdtempSync(join(tmpdir(), 'iserd-records-')), 'devices');
    records = new DeviceRecords(directory);
  });
  afterEach(() => {
    rmSync(join(directory, '..'), { recursive: true });
  });

  it('is read by the next daemon as it was written', () => {
    records.write(record);
    expect(new DeviceRecords(directory).read(5)).to.deep.equal(record);
    records.write({ ...record, handedOver: false, unservedSince: 17.5 });
    expect(records.all()).to.deep.equal([{ ...record, handedOver: false, unservedSince: 17.5 }]);
    expect(readdirSync(directory)).to.deep.equal(['nbd5.json']);
  });

  it('is gone when it has been removed, also twice', () => {
    records.write(record);
    records.remove(5);
    records.remove(5);
    expect(records.read(5)).to.equal(undefined);
    expect(records.all()).to.deep.equal([]);
  });

  for (const [what, text] of Object.entries({
    'of another version': JSON.stringify({ ...record, version: 2 }),
    'of another device': JSON.stringify({ ...record, index: 6 }),
    'with a field missing': JSON.stringify({ ...record, sockets: undefined }),
    'cut short': JSON.stringify(record).slice(0, 40),
    empty: '',
  })) {
    it(`is no record when it is ${what}`, () => {
      records.write(record);
      writeFileSync(join(directory, 'nbd5.json'), text);
      expect(records.read(5)).to.equal(undefined);
    });
  }
});
