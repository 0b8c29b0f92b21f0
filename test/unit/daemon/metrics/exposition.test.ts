import { expect } from 'chai';
import { exposition } from '../../../../daemon/metrics/exposition.ts';
import { families } from '../../../../daemon/metrics/families.ts';
import { daemonSnapshot, parseMetrics, volumeSnapshot } from '../../../helpers/metrics.ts';

describe('the metrics', () => {
  const samplesOf = async (snapshot = daemonSnapshot()): Promise<ReadonlyMap<string, number>> =>
    parseMetrics(await exposition(snapshot));

  it('have the values of the snapshot, in base units', async () => {
    const samples = await samplesOf();
    const expected = {
      'iserd_build_info{version="1.2.3",node_version="v20.0.0"}': 1,
      'iserd_volume_requests_total{volume="data",operation="read"}': 3,
      'iserd_volume_requests_total{volume="data",operation="trim"}': 2,
      'iserd_volume_read_bytes_total{volume="data"}': 4096,
      'iserd_volume_requests_in_flight{volume="data"}': 5,
      'iserd_volume_sessions{volume="data"}': 2,
      'iserd_volume_sessions_up{volume="data"}': 1,
      'iserd_volume_command_failures_total{volume="data",cause="medium-error"}': 7,
      'iserd_volume_connections_lost_total{volume="data",reason="nop-timeout"}': 1,
      'iserd_volume_login_failures_total{volume="data",reason="no-portal"}': 4,
      'iserd_volume_client_ends_total{volume="data",reason="peer-closed"}': 9,
      'iserd_volume_scsi_commands_total{volume="data",event="sent"}': 11,
      'iserd_volume_aborted_commands_total{volume="data"}': 1,
      'iserd_lane_heartbeat_age_seconds{lane="0"}': 0.25,
      'iserd_lane_heartbeat_age_seconds{lane="1"}': 3,
      'iserd_lane_loop_lag_seconds{lane="0"}': 0.002,
      'iserd_lane_requests_total{lane="0"}': 12,
      'iserd_registration_seconds_total{lane="0",device="rxe0",strategy="cache"}': 0.0015,
    };
    expect(
      Object.fromEntries(Object.keys(expected).map((name) => [name, samples.get(name)])),
    ).to.deep.equal(expected);
    // That lane has never answered.
    expect(samples.has('iserd_lane_loop_lag_seconds{lane="1"}')).to.equal(false);
  });

  it('have 1 for the state of a volume and 0 for all others', async () => {
    const samples = await samplesOf(daemonSnapshot([volumeSnapshot({ state: 'waiting' })]));
    const states = [...samples].filter(([name]) => name.startsWith('iserd_volume_state{'));
    expect(states).to.have.lengthOf(6);
    expect(states.filter(([, value]) => value === 1)).to.deep.equal([
      ['iserd_volume_state{volume="data",state="waiting"}', 1],
    ]);
  });

  it('have every reason of an error from the beginning', async () => {
    const samples = await samplesOf();
    const errors = [...samples].filter(([name]) =>
      name.startsWith('iserd_volume_request_errors_total{'),
    );
    expect(errors).to.have.lengthOf(18);
    expect(
      samples.get('iserd_volume_request_errors_total{volume="data",reason="device-failed"}'),
    ).to.equal(7);
    expect(
      samples.get('iserd_volume_request_errors_total{volume="data",reason="past-end"}'),
    ).to.equal(0);
  });

  it('have cumulative histograms with sum and count', async () => {
    const samples = await samplesOf();
    const of = (suffix: string, le?: string): number | undefined => {
      const labels = `volume="data",operation="read"${le === undefined ? '' : `,le="${le}"`}`;
      return samples.get(`iserd_volume_request_duration_seconds_${suffix}{${labels}}`);
    };
    expect(of('bucket', '0.000032')).to.equal(1);
    expect(of('bucket', '0.000064')).to.equal(2);
    expect(of('bucket', '0.065536')).to.equal(2);
    expect(of('bucket', '0.131072')).to.equal(3);
    expect(of('bucket', '33.554432')).to.equal(3);
    expect(of('bucket', '+Inf')).to.equal(3);
    expect(of('count')).to.equal(3);
    expect(of('sum')).to.be.closeTo(0.10006, 1e-9);
  });

  it('follow the conventions for names', () => {
    for (const { name, type, help } of families) {
      expect(name).to.match(/^(iserd|process)_[a-z_]+$/);
      expect(name.endsWith('_total'), name).to.equal(type === 'counter');
      expect(name, 'base units').not.to.match(/_(ms|us|milliseconds|microseconds|kib|mib)(_|$)/);
      expect(help).to.match(/\.$|block_status\.$/);
    }
    expect(new Set(families.map(({ name }) => name)).size).to.equal(families.length);
  });

  it('keep quotes and line ends of labels from breaking the format', async () => {
    const text = await exposition(daemonSnapshot([volumeSnapshot({ target: 'a"b\\c\nd' })]));
    expect(text).to.include('target="a\\"b\\\\c\\nd"');
  });
});
