/** Two portals of one target, whose paths are unlike (asymmetric logical unit access): LIO over iSER. */
import { expect } from 'chai';
import { waitUntil } from '../../helpers/wait.ts';
import { VerifiedLoad } from '../guest/load.ts';
import { targets } from '../guest/machine.ts';
import { ServedVolume } from '../guest/served-volume.ts';

/** A target with two portal groups, each with a portal and an access state of its own, and one disk behind both. */
const setUp = `
alua_url=iser://$portal_address:3271/$iqn_prefix:alua/0
alua_groups=$_core/ram0/alua
alua_up() {
  local tpg n
  mkdir -p "$alua_groups/second" && echo 2 >"$alua_groups/second/tg_pt_gp_id" || return
  for n in 1 2; do
    tpg=$_fabric/$iqn_prefix:alua/tpgt_$n
    mkdir -p "$tpg/lun/lun_0" && ln -s "$_core/ram0" "$tpg/lun/lun_0/disk" || return
    echo 0 >"$tpg/attrib/authentication"
    echo 1 >"$tpg/attrib/generate_node_acls"
    echo 1 >"$tpg/attrib/cache_dynamic_acls"
    echo 0 >"$tpg/attrib/demo_mode_write_protect"
    mkdir -p "$tpg/np/$portal_address:327$n" && echo 1 >"$tpg/np/$portal_address:327$n/iser" || return
    echo 1 >"$tpg/enable" || return
  done
  echo second >"$_fabric/$iqn_prefix:alua/tpgt_2/lun/lun_0/alua_tg_pt_gp"
}
alua_up`;

/** ASYMMETRIC ACCESS STATE of the groups behind port 3271 and port 3272. */
async function setStates(first: number, second: number): Promise<void> {
  const set = (group: string, state: number): string =>
    `echo ${state} >"$alua_groups/${group}/alua_access_state"`;
  // The one that is to serve first, so that there is always one.
  const both = [set('default_tg_pt_gp', first), set('second', second)];
  await targets.run((first <= second ? both : both.reverse()).join(' && '));
}

const optimized = 0;
const nonOptimized = 1;
const standby = 2;

describe('a logical unit with two paths: LIO over iSER', () => {
  let volume: ServedVolume;

  before(async () => {
    await targets.run(setUp);
    await setStates(standby, optimized);
    const address = await targets.variable('portal_address');
    volume = await ServedVolume.start('alua_url', '--portal', `${address}:3272`);
  });
  after(() => volume.remove());

  const portal = async (): Promise<string> => {
    const [session] = (await volume.status()).volumes[0].sessions;
    return session.state === 'up' ? session.portal : session.state;
  };

  it('is served through the one that is not standby', async () => {
    expect(await portal()).to.match(/:3272$/);
  });

  it('is served through the other one when the first becomes standby under load, with data intact', async () => {
    const load = new VerifiedLoad(volume.device);
    await load.inFullSwing();
    await setStates(optimized, standby);
    await waitUntil('the other path serves', async () => /:3271$/.test(await portal()), 60_000);
    expect(await load.result).to.equal('');
  });

  it('is served through the optimized one when the other is not optimized any more', async () => {
    await setStates(nonOptimized, optimized);
    const load = new VerifiedLoad(volume.device);
    await waitUntil('the better path serves', async () => /:3272$/.test(await portal()), 60_000);
    expect(await load.result).to.equal('');
  });
});
