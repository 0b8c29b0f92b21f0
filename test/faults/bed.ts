/** Where the faults happen: targets behind a wire that can be cut, and one volume at a time. */
import { formatTargetUrl, parseTargetUrl } from '../../src/iscsi/url.ts';
import { Shell } from '../vm/guest/shell.ts';
import { FaultVolume, type VolumeSettings } from './fault-volume.ts';
import { PduProxy } from './pdu-proxy.ts';

export type TargetKind = 'tgt' | 'LIO';

export interface Way {
  readonly name: string;
  readonly target: TargetKind;
  readonly transport: 'iser' | 'tcp';
  /** Variable of targets.sh that bears the URL. */
  readonly url: string;
  /** A scripted proxy stands between. */
  readonly proxied: boolean;
}

const way = (
  target: TargetKind,
  transport: Way['transport'],
  url: string,
  proxied = false,
): Way => ({
  name: `${target} over ${transport === 'iser' ? 'iSER' : 'TCP'}${proxied ? ', proxy' : ''}`,
  target,
  transport,
  url,
  proxied,
});

export const tgtIser = way('tgt', 'iser', 'tgt_iser_url');
export const lioIser = way('LIO', 'iser', 'lio_iser_url');
export const tgtTcp = way('tgt', 'tcp', 'tgt_tcp_url');
export const lioTcp = way('LIO', 'tcp', 'lio_tcp_url');
export const tgtProxy = way('tgt', 'tcp', 'tgt_tcp_url', true);
export const lioProxy = way('LIO', 'tcp', 'lio_tcp_url', true);
/** In this order, so that a volume serves many lines. */
export const ways: readonly Way[] = [tgtIser, lioIser, tgtTcp, lioTcp, tgtProxy, lioProxy];
/** What there is on any machine. */
export const hostWays: readonly Way[] = [tgtTcp, tgtProxy];

const portalAddress = '10.9.8.2';
const diskMebibytes = 64;

export class Bed {
  /** Bash with targets.sh and fabric.sh. */
  readonly targets: Shell;
  /** No kernel devices, one target over TCP: any machine will do. */
  readonly #isHost: boolean;
  readonly #initiatorName: string;
  #volume: { readonly key: string; readonly volume: FaultVolume } | undefined;
  #proxy: { readonly portal: string; readonly proxy: PduProxy } | undefined;

  private constructor(targets: Shell, initiatorName: string, isHost: boolean) {
    this.targets = targets;
    this.#initiatorName = initiatorName;
    this.#isHost = isHost;
  }

  static async inGuest(): Promise<Bed> {
    process.env['portal_address'] = portalAddress;
    const targets = new Shell('test/vm/guest/targets.sh');
    await targets.run('. test/faults/targets-common.sh && . test/faults/fabric.sh && fabric_up');
    await targets.run(`tgt_up ${diskMebibytes}M && lio_up ${diskMebibytes}`);
    return new Bed(targets, await targets.variable('initiator_name'), false);
  }

  static async onHost(): Promise<Bed> {
    const targets = new Shell('test/faults/host-targets.sh');
    await targets.run(`. test/faults/targets-common.sh && tgt_up ${diskMebibytes}M`);
    return new Bed(targets, await targets.variable('initiator_name'), true);
  }

  get hasDevices(): boolean {
    return !this.#isHost;
  }

  /** The proxy of the way that is in use; only for ways with one. */
  get proxy(): PduProxy {
    if (this.#proxy === undefined) throw new Error('this way has no proxy');
    return this.#proxy.proxy;
  }

  /**
   * A volume over the way, up; the one of the line before if it will do. It will not once it has lost a connection: the next loss
   * soon after would be met with longer pauses.
   */
  async volume(over: Way, settings: VolumeSettings): Promise<FaultVolume> {
    const key = `${over.name} ${JSON.stringify(settings)}`;
    const before = this.#volume;
    if (before?.key === key && before.volume.isRunning && !before.volume.hasLostConnection)
      return before.volume;
    await this.dropVolume();
    const url = await this.#urlOf(over);
    const volume = await FaultVolume.start(url, this.#initiatorName, this.hasDevices, settings);
    this.#volume = { key, volume };
    return volume;
  }

  /** Ends the volume, with its daemon; what went wrong with that. */
  async dropVolume(): Promise<string> {
    const volume = this.#volume?.volume;
    this.#volume = undefined;
    return volume === undefined || !volume.isRunning ? '' : volume.stop();
  }

  /** The volume will not do for another line; whoever has it ends it. */
  forgetVolume(): void {
    this.#volume = undefined;
  }

  /** Host and port of the way's target, name and LUN, past any proxy. */
  async portalOf(over: Way): Promise<{
    readonly host: string;
    readonly port: number;
    readonly targetName: string;
    readonly lun: number;
  }> {
    const { host, port, targetName, lun } = parseTargetUrl(await this.targets.variable(over.url));
    return { host, port, targetName: targetName ?? '', lun: lun ?? 0 };
  }

  async close(): Promise<void> {
    await this.dropVolume();
    await this.#proxy?.proxy.close();
    await this.targets.run('tgt_down');
    await this.targets.close();
  }

  async #urlOf(over: Way): Promise<string> {
    const text = await this.targets.variable(over.url);
    if (!over.proxied) return text;
    const url = parseTargetUrl(text);
    const portal = `${url.host}:${url.port}`;
    if (this.#proxy?.portal !== portal) {
      await this.#proxy?.proxy.close();
      this.#proxy = { portal, proxy: await PduProxy.start(url.host, url.port) };
    }
    const [host, port] = this.#proxy.proxy.portal.split(':');
    return formatTargetUrl({ ...url, host, port: Number(port) });
  }
}
