import { expect } from 'chai';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { createConnection, type Socket } from 'node:net';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MetricsEndpoint } from '../../../../daemon/metrics/endpoint.ts';
import { freePort } from '../../../helpers/free-port.ts';

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

describe('the metrics endpoint', () => {
  let directory: string;
  let socket: string;
  let endpoint: MetricsEndpoint;
  let collections: number;
  let collect: () => Promise<string>;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-metrics-'));
    socket = join(directory, 'metrics.sock');
    collections = 0;
    collect = () => Promise.resolve('iserd_build_info 1\n');
    endpoint = new MetricsEndpoint(() => {
      collections++;
      return collect();
    });
    await endpoint.listen({ socket, group: undefined });
  });

  afterEach(async () => {
    await endpoint.close();
    rmSync(directory, { recursive: true });
  });

  const ask = (
    path: string,
    method = 'GET',
    place: object = { socketPath: socket },
  ): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const request = httpRequest({ ...place, path, method }, (response) => {
        let body = '';
        response.on('data', (chunk: Buffer) => (body += chunk.toString()));
        response.on('end', () => {
          resolve({ status: response.statusCode, headers: response.headers, body });
        });
      });
      request.on('error', reject);
      request.end();
    });

  /** What comes back for these bytes until the connection ends. */
  const raw = (bytes: string): Promise<string> =>
    new Promise((resolve) => {
      const connection: Socket = createConnection(socket);
      let text = '';
      connection.on('data', (chunk: Buffer) => (text += chunk.toString()));
      connection.on('error', () => undefined);
      connection.on('close', () => {
        resolve(text);
      });
      connection.write(bytes);
    });

  it('answers GET /metrics in the text format', async () => {
    const { status, headers, body } = await ask('/metrics');
    expect(status).to.equal(200);
    expect(headers['content-type']).to.equal('text/plain; version=0.0.4; charset=utf-8');
    expect(body).to.equal('iserd_build_info 1\n');
  });

  it('is for its owner only', () => {
    expect(statSync(socket).mode & 0o777).to.equal(0o600);
  });

  it('answers HEAD without a body, and ignores what follows a question mark', async () => {
    expect(await ask('/metrics', 'HEAD')).to.include({ status: 200, body: '' });
    expect(await ask('/metrics?name=x')).to.include({ status: 200 });
  });

  it('has nothing else', async () => {
    for (const path of ['/', '/metrics/', '/favicon.ico', '//metrics', '/../metrics'])
      expect((await ask(path)).status, path).to.equal(404);
    const { status, headers } = await ask('/metrics', 'POST');
    expect(status).to.equal(405);
    expect(headers.allow).to.equal('GET, HEAD');
    expect(collections).to.equal(0);
  });

  it('collects once for scrapes that come together', async () => {
    let finish: (text: string) => void = () => undefined;
    collect = () => new Promise((resolve) => (finish = resolve));
    const scrapes = [ask('/metrics'), ask('/metrics'), ask('/metrics')];
    const begun = async (): Promise<void> => {
      while (collections === 0) await new Promise((resolve) => setImmediate(resolve));
    };
    await begun();
    // A scrape that is answered after the others have arrived, so that they wait for the same one.
    expect((await ask('/')).status).to.equal(404);
    finish('x 1\n');
    expect((await Promise.all(scrapes)).map(({ body }) => body)).to.deep.equal([
      'x 1\n',
      'x 1\n',
      'x 1\n',
    ]);
    expect(collections).to.equal(1);
  });

  it('says what went wrong when there is nothing to tell, and goes on', async () => {
    collect = () => Promise.reject(new Error('no lanes'));
    expect(await ask('/metrics')).to.include({ status: 500, body: 'no lanes\n' });
    collect = () => Promise.resolve('x 1\n');
    expect((await ask('/metrics')).status).to.equal(200);
  });

  const hostile: readonly (readonly [string, string, RegExp])[] = [
    ['no HTTP', 'nonsense\r\n\r\n', /^HTTP\/1\.1 400 /],
    [
      'headers that do not end',
      `GET /metrics HTTP/1.1\r\n${'x: yyyyyyyyyyyyyy\r\n'.repeat(1000)}`,
      /^HTTP\/1\.1 431 /,
    ],
    ['a long request line', `GET /${'x'.repeat(64 * 1024)} HTTP/1.1\r\n\r\n`, /^HTTP\/1\.1 431 /],
    [
      'a body',
      'POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\nxx',
      /^HTTP\/1\.1 405 /,
    ],
  ];
  for (const [what, bytes, answer] of hostile) {
    it(`answers ${what} with an error and hangs up`, async () => {
      expect(await raw(bytes)).to.match(answer);
      expect((await ask('/metrics')).status).to.equal(200);
    });
  }

  it('hangs up on a client that does not finish its request', async function () {
    this.timeout(20_000);
    expect(await raw('GET /metrics HTTP/1.1\r\nhost:')).to.match(/^HTTP\/1\.1 408 /);
  });

  it('has a bound on connections', async () => {
    const connections = Array.from({ length: 16 }, () => createConnection(socket));
    await Promise.all(
      connections.map((each) => new Promise((resolve) => each.once('connect', resolve))),
    );
    expect(await raw('GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n')).to.equal('');
    for (const each of connections) each.destroy();
  });

  it('replaces what a dead daemon has left, and nothing that somebody listens on', async () => {
    const second = new MetricsEndpoint(collect);
    const refusal = await second
      .listen({ socket, group: undefined })
      .catch((error: unknown) => error);
    expect(refusal)
      .to.be.an('error')
      .with.property('message', `metrics on ${socket}: somebody else listens there`);
    await second.close();
    await endpoint.close();
    expect(existsSync(socket)).to.equal(false);
  });

  it('listens on a loopback address', async () => {
    const port = await freePort();
    const other = new MetricsEndpoint(collect);
    await other.listen({ listen: { address: '127.0.0.1', port } });
    try {
      expect((await ask('/metrics', 'GET', { host: '127.0.0.1', port })).status).to.equal(200);
      const third = new MetricsEndpoint(collect);
      const refusal = await third
        .listen({ listen: { address: '127.0.0.1', port } })
        .catch((error: unknown) => error);
      expect(refusal)
        .to.be.an('error')
        .with.property('message')
        .that.matches(/^metrics on 127\.0\.0\.1:\d+: somebody/);
    } finally {
      await other.close();
    }
  });
});
