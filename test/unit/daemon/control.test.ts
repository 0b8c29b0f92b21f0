import { expect } from 'chai';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { callControl, followControl } from '../../../daemon/control/client.ts';
import {
  ControlServer,
  ParametersError,
  type ControlConnection,
  type ControlMethods,
} from '../../../daemon/control/server.ts';
import { system } from '../../../daemon/system.ts';
import { CodedError } from '../../../src/errors.ts';

describe('the control socket', () => {
  let directory: string;
  let path: string;
  const servers: ControlServer[] = [];
  const fakes: Server[] = [];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-control-'));
    path = join(directory, 'sub', 'control');
  });
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.close();
    for (const fake of fakes.splice(0)) fake.close();
    rmSync(directory, { recursive: true });
  });

  async function listen(methods: ControlMethods = {}): Promise<ControlServer> {
    const server = new ControlServer({
      echo: (parameters) => Promise.resolve(parameters),
      fail: () => Promise.reject(new CodedError('x', 'the method failed')),
      break: () => Promise.reject(new Error('a bug')),
      strict: () => Promise.reject(new ParametersError('level: must be one of …')),
      ...methods,
    });
    servers.push(server);
    await server.listen(path);
    return server;
  }

  /** A server that says these bytes to whoever comes and then closes. */
  async function fake(answer: string): Promise<void> {
    path = join(directory, 'fake');
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.end(answer));
    });
    fakes.push(server);
    await new Promise<void>((resolve) => {
      server.listen(path, resolve);
    });
  }

  /** Sends the bytes and gives everything that comes back until `lines` lines are there or the server closes. */
  function say(bytes: string | Buffer, lines: number): Promise<string[]> {
    return new Promise((resolve, reject) => {
      const socket: Socket = createConnection(path);
      let received = '';
      const done = (): void => {
        socket.destroy();
        resolve(received.split('\n').slice(0, -1));
      };
      socket.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EPIPE' || error.code === 'ECONNRESET') done();
        else reject(error);
      });
      socket.on('close', done);
      socket.on('data', (chunk) => {
        received += chunk.toString();
        if (received.split('\n').length > lines) done();
      });
      socket.write(bytes);
    });
  }

  async function failure(promise: Promise<unknown>): Promise<CodedError> {
    try {
      await promise;
    } catch (error) {
      expect(error).to.be.instanceOf(CodedError);
      return error as CodedError;
    }
    throw new Error('it did not fail');
  }

  async function rejection(promise: Promise<unknown>): Promise<Error> {
    try {
      await promise;
    } catch (error) {
      return error as Error;
    }
    throw new Error('it did not fail');
  }

  const request = (fields: object): string =>
    `${JSON.stringify({ jsonrpc: '2.0', id: 1, ...fields })}\n`;

  describe('its server', () => {
    it('makes the directory, and a socket for its owner only', async () => {
      await listen();
      expect(statSync(path).mode & 0o777).to.equal(0o600);
    });

    it('answers a call', async () => {
      await listen();
      expect(await callControl(path, 'echo', { a: [1, 'ü'] })).to.deep.equal({ a: [1, 'ü'] });
    });

    it('gives a failure of the method to the caller', async () => {
      await listen();
      const error = await failure(callControl(path, 'fail'));
      expect(error).to.include({ code: 'x', message: 'the method failed' });
    });

    it('answers a request that comes byte by byte, within a character, too', async () => {
      await listen();
      const bytes = Buffer.from(request({ method: 'echo', params: { text: 'ü' } }));
      const socket = createConnection(path);
      const answer = new Promise<Buffer>((resolve) => socket.once('data', resolve));
      for (const byte of bytes)
        await new Promise((resolve) => socket.write(Uint8Array.of(byte), resolve));
      expect((await answer).toString()).to.include('"text":"ü"');
      socket.destroy();
    });

    it('gives scripts a word for every error', async () => {
      await listen();
      const [line] = await say(request({ method: 'strict' }), 1);
      expect(JSON.parse(line)).to.deep.include({
        error: {
          code: -32602,
          message: 'level: must be one of …',
          data: { code: 'invalid-parameters' },
        },
      });
    });

    describe('sends notifications', () => {
      let follower: ControlConnection;
      let gone = 0;
      const follow: ControlMethods = {
        follow: (_, connection) => {
          follower = connection;
          connection.onGone(() => gone++);
          connection.notify('event', 'at once');
          return Promise.resolve({});
        },
      };

      beforeEach(() => {
        gone = 0;
      });

      it('after the answer, in order, until the daemon closes', async () => {
        const server = await listen(follow);
        const heard: unknown[] = [];
        let following: Promise<void> = Promise.resolve();
        await new Promise<void>((resolve) => {
          following = followControl(path, 'follow', (params) => {
            heard.push(params);
            resolve();
          });
        });
        for (const event of [1, 2, 3]) follower.notify('event', event);
        await Promise.all([server.close(), following]);
        expect(heard).to.deep.equal(['at once', 1, 2, 3]);
        expect(gone).to.equal(1);
      });

      it('until the client has had enough', async () => {
        await listen(follow);
        const end = new AbortController();
        await followControl(
          path,
          'follow',
          () => {
            end.abort();
          },
          end.signal,
        );
        while (gone === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      });

      it('and cuts off who does not take them', async () => {
        await listen(follow);
        const socket = createConnection(path);
        const closed = new Promise((resolve) => socket.on('close', resolve));
        socket.on('error', () => undefined);
        socket.write(request({ method: 'follow' }));
        await new Promise((resolve) => socket.once('data', resolve));
        socket.pause();
        const text = 'x'.repeat(100_000);
        for (let sent = 0; gone === 0 && sent < 1000; sent++) {
          follower.notify('event', text);
          await new Promise((resolve) => setImmediate(resolve));
        }
        expect(gone).to.equal(1);
        socket.resume();
        await closed;
        expect(await callControl(path, 'echo')).to.deep.equal({});
      });

      it('none where the method is refused', async () => {
        await listen();
        const error = await failure(followControl(path, 'fail', () => undefined));
        expect(error.code).to.equal('x');
      });
    });

    it('answers several requests of one packet', async () => {
      await listen();
      const answers = await say(
        request({ method: 'echo', id: 1 }) + request({ method: 'echo', id: 'b' }),
        2,
      );
      expect(answers.map((line) => (JSON.parse(line) as { id: unknown }).id)).to.deep.equal([
        1,
        'b',
      ]);
    });

    const hostile: readonly (readonly [string, string, number])[] = [
      ['what is not JSON', '{"jsonrpc"\n', -32700],
      ['an empty line', '\n', -32700],
      ['control characters', '\u0000\u0001\n', -32700],
      ['a batch', '[]\n', -32600],
      ['another version', request({ jsonrpc: '1.0', method: 'echo' }), -32600],
      ['a request without a method', request({}), -32600],
      ['parameters by position', request({ method: 'echo', params: [1] }), -32600],
      ['an extra member', request({ method: 'echo', extra: 1 }), -32600],
      ['an unknown method', request({ method: 'nothing' }), -32601],
      ['a method of every object', request({ method: 'constructor' }), -32601],
      ['a method that refuses', request({ method: 'fail' }), -32000],
      ['a method that breaks', request({ method: 'break' }), -32603],
      ['parameters that are not its', request({ method: 'strict' }), -32602],
    ];
    for (const [what, line, code] of hostile) {
      it(`answers ${what} with error ${code}, and the next request as well`, async () => {
        await listen();
        const answers = await say(line + request({ method: 'echo', id: 2 }), 2);
        expect(answers).to.have.length(2);
        const errors = answers.map(
          (text) => JSON.parse(text) as { id: unknown; error?: { code: number } },
        );
        expect(errors.map(({ error }) => error?.code)).to.have.members([code, undefined]);
      });
    }

    it('cuts off who sends a line without end, and serves others', async () => {
      await listen();
      expect(await say('x'.repeat(70_000), 1)).to.deep.equal([]);
      expect(await callControl(path, 'echo')).to.deep.equal({});
    });

    it('serves others after one has gone before its answer', async () => {
      let answer: () => void = () => undefined;
      const asked = new Promise<void>((resolve) => {
        void listen({
          slow: () => {
            resolve();
            return new Promise<void>((settle) => {
              answer = settle;
            });
          },
        }).then(() => {
          const socket = createConnection(path);
          socket.write(request({ method: 'slow' }));
          void asked.then(() => socket.destroy());
        });
      });
      await asked;
      answer();
      expect(await callControl(path, 'echo')).to.deep.equal({});
    });

    it('is refused where another daemon answers', async () => {
      await listen();
      const error = await failure(new ControlServer({}).listen(path));
      expect(error.code).to.equal('control-socket-in-use');
      expect(await callControl(path, 'echo')).to.deep.equal({});
    });

    it('replaces what a killed daemon has left', async () => {
      await listen();
      await servers[0].close();
      // A bound socket that nobody listens on any more.
      system.closeFd(system.listenUnix(path, 0o600, 1));
      await listen();
      expect(await callControl(path, 'echo')).to.deep.equal({});
    });

    it('leaves a file alone that is no socket', async () => {
      mkdirSync(dirname(path));
      writeFileSync(path, 'mine');
      const error = await rejection(new ControlServer({}).listen(path));
      expect(error.message).to.match(/is not a socket/);
      expect(readFileSync(path, 'utf8')).to.equal('mine');
    });

    it('lets the members of a group in when one is configured', async () => {
      const server = new ControlServer({});
      servers.push(server);
      await server.listen(path, 'daemon');
      expect(statSync(path).mode & 0o777).to.equal(0o660);
    });

    it('refuses a group that there is not', async () => {
      const error = await rejection(new ControlServer({}).listen(path, 'no-such-group'));
      expect(error.message).to.match(/there is no group no-such-group/);
      expect(existsSync(path)).to.equal(false);
    });

    it('leaves the socket of a successor alone when it is closed', async () => {
      const server = await listen();
      renameSync(path, `${path}.old`);
      await listen();
      await server.close();
      expect(await callControl(path, 'echo')).to.deep.equal({});
    });

    it('removes its socket when it is closed, with a client connected', async () => {
      const server = await listen();
      const socket = createConnection(path);
      const closed = new Promise((resolve) => socket.on('close', resolve));
      await new Promise((resolve) => socket.on('connect', resolve));
      socket.write(request({ method: 'echo' }));
      await new Promise((resolve) => socket.once('data', resolve));
      await server.close();
      await closed;
      expect(existsSync(path)).to.equal(false);
    });
  });

  describe('its client', () => {
    it('says that no daemon runs', async () => {
      const error = await failure(callControl('/no/such/socket', 'status'));
      expect(error.code).to.equal('control-unreachable');
      expect(error.message).to.match(/ENOENT.*is iserd running\?/);
    });

    it('says that the daemon has closed without an answer', async () => {
      await fake('');
      expect((await failure(callControl(path, 'status'))).message).to.match(
        /closed the connection/,
      );
    });

    for (const [what, answer] of [
      ['is not JSON', 'nonsense\n'],
      ['is no response', '{"id":1}\n'],
    ]) {
      it(`says that an answer ${what}`, async () => {
        await fake(answer);
        expect((await failure(callControl(path, 'status'))).code).to.equal('control-protocol');
      });
    }
  });
});
