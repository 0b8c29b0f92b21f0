import { expect } from 'chai';
import { Readiness } from '../../../daemon/readiness.ts';
import type { Volume } from '../../../daemon/volume/volume.ts';

type Watched = Pick<Volume, 'failure' | 'spec' | 'state'>;

describe('the readiness of the daemon', () => {
  let said: string[];
  let volumes: Watched[];
  let readiness: Readiness;

  const volume = (
    name: string,
    state: Watched['state'],
    more: { required?: boolean; failure?: string } = {},
  ): Watched => ({
    state,
    failure: more.failure,
    spec: { name, required: more.required ?? false } as Watched['spec'],
  });

  beforeEach(() => {
    said = [];
    volumes = [];
    readiness = new Readiness({
      notifier: {
        extend: () => said.push('extend'),
        endExtension: () => said.push('end of extension'),
        ready: (status) => said.push(`READY ${status}`),
        reloading: (time) => said.push(`RELOADING ${time}`),
        status: (status) => said.push(status),
      },
      volumes: () => volumes,
      nowMicroseconds: () => 5n,
      onReady: (status) => said.push(`ready: ${status}`),
    });
  });

  it('comes after the first attempt to start every volume, whatever became of it', () => {
    volumes = [volume('a', 'starting'), volume('b', 'starting')];
    readiness.starting();
    expect(said.splice(0)).to.deep.equal(['extend', '0 of 2 volumes serve, waiting for a']);
    volumes = [volume('a', 'serving'), volume('b', 'waiting', { failure: 'no login in time' })];
    readiness.volumesChanged();
    const text = '1 of 2 volumes serve, waiting for b: no login in time';
    expect(said.splice(0)).to.deep.equal([text]);
    readiness.attempted();
    expect(said).to.deep.equal(['end of extension', `READY ${text}`, `ready: ${text}`]);
  });

  it('comes when every required volume serves, and names one that does not', () => {
    volumes = [
      volume('a', 'waiting', { failure: 'refused' }),
      volume('b', 'waiting', { required: true, failure: 'no login in time\nfor long' }),
    ];
    readiness.attempted();
    expect(said.splice(0)).to.deep.equal([
      'end of extension',
      '0 of 2 volumes serve, waiting for b: no login in time',
    ]);
    volumes = [volumes[0], volume('b', 'serving', { required: true })];
    readiness.volumesChanged();
    expect(said[0]).to.equal('READY 1 of 2 volumes serve, waiting for a: refused');
  });

  it('comes without any volume', () => {
    readiness.starting();
    readiness.attempted();
    expect(said.at(-1)).to.equal('ready: no volumes yet');
  });

  it('comes once; later changes are a status, told when they change something', () => {
    volumes = [volume('a', 'serving')];
    readiness.attempted();
    said.splice(0);
    readiness.volumesChanged();
    volumes = [volume('a', 'failed', { failure: 'another logical unit' })];
    readiness.volumesChanged();
    expect(said).to.deep.equal(['0 of 1 volumes serve, waiting for a: another logical unit']);
  });

  it('is interrupted by a reload', async () => {
    volumes = [volume('a', 'serving')];
    readiness.attempted();
    said.splice(0);
    await readiness.during(() => {
      readiness.volumesChanged();
      return Promise.resolve();
    });
    expect(said).to.deep.equal([
      'RELOADING 5',
      'reloading the configuration',
      'READY 1 of 1 volumes serve',
    ]);
  });

  it('comes back after a reload that fails', async () => {
    readiness.attempted();
    const fails = readiness.during(() => Promise.reject(new Error('bad file')));
    expect(await fails.catch((error: unknown) => (error as Error).message)).to.equal('bad file');
    expect(said.at(-1)).to.equal('READY no volumes yet');
  });

  it('is not told by a reload before the daemon was ready', async () => {
    readiness.starting();
    await readiness.during(() => Promise.resolve());
    expect(said.join()).not.to.match(/READY|RELOADING/);
  });

  it('has nothing more to tell when the daemon ends', () => {
    readiness.ending();
    readiness.attempted();
    expect(said).to.deep.equal(['end of extension']);
  });
});
