/** NBD over TLS, with clients that nobody here wrote and certificates made on the spot. */
import { expect } from 'chai';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DaemonFixture, mebibyte, runIserctl, runIserd } from '../helpers/daemon-fixture.ts';
import { freePort } from '../helpers/free-port.ts';
import { NbdSocketClient } from '../helpers/nbd-socket.ts';
import type { IserdProcess } from '../helpers/programs.ts';
import { run, runOk, type Finished } from '../helpers/programs.ts';
import type { Tgt } from '../helpers/tgt.ts';
import { waitUntil } from '../helpers/wait.ts';

const sizeBytes = 16 * mebibyte;

/** A certificate authority in a directory: ca-cert.pem, ca-key.pem. */
async function makeAuthority(directory: string): Promise<void> {
  mkdirSync(directory);
  await runOk('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
    ...['-days', '2', '-subj', '/CN=iserd test authority'],
    ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
    ...['-keyout', join(directory, 'ca-key.pem'), '-out', join(directory, 'ca-cert.pem')],
  ]);
}

/** NAME-cert.pem and NAME-key.pem beside their authority. */
async function makeCertificate(directory: string, name: 'server' | 'client'): Promise<void> {
  const path = (suffix: string): string => join(directory, `${name}-${suffix}`);
  await runOk('openssl', [
    ...['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
    ...['-subj', `/CN=${name}`, '-keyout', path('key.pem'), '-out', path('request.pem')],
  ]);
  writeFileSync(
    path('extensions'),
    `subjectAltName=IP:127.0.0.1\nextendedKeyUsage=${name}Auth\nkeyUsage=digitalSignature\n`,
  );
  await runOk('openssl', [
    ...['x509', '-req', '-in', path('request.pem'), '-out', path('cert.pem'), '-days', '2'],
    ...['-CA', join(directory, 'ca-cert.pem'), '-CAkey', join(directory, 'ca-key.pem')],
    ...['-CAcreateserial', '-extfile', path('extensions')],
  ]);
  chmodSync(path('key.pem'), 0o600);
}

describe('NBD over TLS', function () {
  this.timeout(90_000);
  const suite = DaemonFixture.perSuite();
  const fixture = DaemonFixture.perTest();
  let tgt: Tgt;
  let port: number;
  let daemon: IserdProcess;
  let ours: string;
  let theirs: string;

  const tlsOptions = (key = join(ours, 'server-key.pem')): string[] => [
    ...['--tls-certificate', join(ours, 'server-cert.pem')],
    ...['--tls-key', key],
    ...['--tls-client-ca', join(ours, 'ca-cert.pem')],
  ];

  before(async () => {
    tgt = await suite.tgt({ luns: [{ sizeBytes }] });
    const directory = suite.directory();
    ours = join(directory, 'ours');
    theirs = join(directory, 'theirs');
    for (const authority of [ours, theirs]) {
      await makeAuthority(authority);
      for (const name of ['client', 'server'] as const) await makeCertificate(authority, name);
    }
    port = await freePort();
    const argv = ['serve', tgt.urls[0], '--listen', `127.0.0.1:${port}`, ...tlsOptions()];
    daemon = await suite.iserd(...argv, '--log-level', 'debug');
  });

  /** qemu-io with the certificates of a directory. */
  function qemuIo(directory: string, ...commands: readonly string[]): Promise<Finished> {
    return run('qemu-io', [
      ...['--object', `tls-creds-x509,id=tls,endpoint=client,dir=${directory}`],
      '--image-opts',
      ...commands.flatMap((command) => ['-c', command]),
      `driver=nbd,host=127.0.0.1,port=${port},export=serve,tls-creds=tls`,
    ]);
  }

  it('carries data for a client with our certificate', async () => {
    const { code, stdout, stderr } = await qemuIo(
      ours,
      'write -P 0x5c 1M 4M',
      'flush',
      'read -P 0x5c 1M 4M',
      'read -P 0 5M 64k',
    );
    expect(code, stdout + stderr).to.equal(0);
  });

  it('carries data for libnbd', async () => {
    const uri = `nbds://127.0.0.1:${port}/serve?tls-certificates=${ours}`;
    expect(await runOk('nbdinfo', ['--size', uri])).to.equal(`${sizeBytes}\n`);
    const copy = join(fixture.directory(), 'copy');
    await runOk('nbdcopy', [uri, copy]);
    await runOk('cmp', [copy, tgt.files[0]]);
  });

  it('is refused to a client without a certificate', async () => {
    const directory = fixture.directory();
    copyFileSync(join(ours, 'ca-cert.pem'), join(directory, 'ca-cert.pem'));
    const { code } = await qemuIo(directory, 'read 0 4k');
    expect(code).not.to.equal(0);
  });

  it('is refused to a client with another authority’s certificate, and said', async () => {
    const directory = fixture.directory();
    copyFileSync(join(ours, 'ca-cert.pem'), join(directory, 'ca-cert.pem'));
    for (const file of ['client-cert.pem', 'client-key.pem'])
      copyFileSync(join(theirs, file), join(directory, file));
    const before = daemon.log.length;
    // qemu-io would look at its own certificate first and not even try.
    const uri = `nbds://127.0.0.1:${port}/serve?tls-certificates=${directory}`;
    expect((await run('nbdinfo', ['--size', uri])).code).not.to.equal(0);
    await waitUntil('the daemon has said so', () =>
      /warn: TLS client refused: /.test(daemon.log.slice(before)),
    );
  });

  it('is not what a client without TLS gets', async () => {
    const { code, stderr } = await run('nbdinfo', ['--size', `nbd://127.0.0.1:${port}/serve`]);
    expect(code).not.to.equal(0);
    expect(stderr).to.match(/TLS/i);
  });

  it('leaves nothing behind when clients come and go', async () => {
    const uri = `nbds://127.0.0.1:${port}/serve?tls-certificates=${ours}`;
    const openFds = async (): Promise<number> =>
      (await runOk('ls', [`/proc/${daemon.child.pid}/fd`])).split('\n').length;
    await runOk('nbdinfo', ['--size', uri]);
    const before = await openFds();
    for (let client = 0; client < 5; client++) await runOk('nbdinfo', ['--size', uri]);
    await waitUntil('descriptors are as many as before', async () => (await openFds()) <= before);
  });

  it('has a renewed certificate after a reload, for new clients; others stay', async () => {
    const directory = fixture.directory();
    const install = (from: string): void => {
      for (const file of ['ca-cert.pem', 'server-cert.pem', 'server-key.pem'])
        copyFileSync(join(from, file), join(directory, file));
    };
    install(ours);
    const own = await freePort();
    const control = join(directory, 'control');
    const file = join(directory, 'iserd.toml');
    writeFileSync(
      file,
      `[control]
socket = "${control}"
[[volume]]
name = "data"
url = "${tgt.urls[0]}"
listen = "127.0.0.1:${own}"
tls_certificate = "${directory}/server-cert.pem"
tls_key = "${directory}/server-key.pem"
tls_client_ca = "${directory}/ca-cert.pem"
`,
    );
    const renewed = await fixture.iserd('--config', file);
    const uri = (certificates: string): string =>
      `nbds://127.0.0.1:${own}/data?tls-certificates=${certificates}`;
    const stays = `import nbd
h = nbd.NBD()
h.set_uri_allow_local_file(True)
h.connect_uri("${uri(ours)}")
print("open", flush=True)
input()
h.pwrite(b"x" * 4096, 0)
h.flush()
print("served", flush=True)
h.shutdown()
`;
    const client = fixture.spawn('/usr/bin/python3', ['-c', stays], ['pipe', 'pipe', 'pipe']);
    await waitUntil('the client is in', () => client.stdout.includes('open'));
    install(theirs);
    const { code, stdout } = await runIserctl('reload', '--socket', control);
    expect(code, stdout).to.equal(0);
    expect(stdout).to.match(/data .*tls_certificate/);
    expect(await runOk('nbdinfo', ['--size', uri(theirs)])).to.equal(`${sizeBytes}\n`);
    expect((await run('nbdinfo', ['--size', uri(ours)])).code).not.to.equal(0);
    client.child.stdin?.write('\n');
    expect((await client.ended).code, client.stderr).to.equal(0);
    expect(client.stdout).to.equal('open\nserved\n');
    await renewed.stop();
  });

  it('needs a key that is nobody else’s', async () => {
    const key = join(fixture.directory(), 'key.pem');
    copyFileSync(join(ours, 'server-key.pem'), key);
    chmodSync(key, 0o644);
    const listen = ['--listen', `127.0.0.1:${await freePort()}`];
    const { code, stderr } = await runIserd('serve', tgt.urls[0], ...listen, ...tlsOptions(key));
    expect(code).to.equal(1);
    expect(stderr).to.include(`${key}: mode 0644 lets others read the secret`);
  });

  it('needs a key that belongs to the certificate', async () => {
    const listen = ['--listen', `127.0.0.1:${await freePort()}`];
    const options = tlsOptions(join(theirs, 'client-key.pem'));
    const { code, stderr } = await runIserd('serve', tgt.urls[0], ...listen, ...options);
    expect(code).to.equal(1);
    expect(stderr).to.match(/ error: .*TLS: .*key/);
  });

  it('ends with the daemon, which drains its clients', async () => {
    const directory = fixture.directory();
    const own = await freePort();
    const socket = join(directory, 'nbd');
    const argv = ['serve', tgt.urls[0], '--listen', `127.0.0.1:${own}`, '--socket', socket];
    const other = await fixture.iserd(...argv, ...tlsOptions());
    const client = await NbdSocketClient.connect(socket);
    const { code, stderr } = await other.stop();
    expect(code, stderr).to.equal(0);
    await client.closed;
  });
});
