/** Alerts and dashboard: correct in themselves, and about metrics that exist. */
import { expect } from 'chai';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exposition } from '../../../../daemon/metrics/exposition.ts';
import { checkMetrics, daemonSnapshot, promtool } from '../../../helpers/metrics.ts';
import { repository } from '../../../helpers/programs.ts';

const alerts = 'packaging/prometheus/alerts.yml';

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly targets?: readonly { readonly expr: string }[];
}
interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly definition?: string }[];
  };
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}

const read = (path: string): string => readFileSync(`${repository}${path}`, 'utf8');

describe('what is packaged for monitoring', function () {
  this.timeout(60_000);
  let directory: string;
  let exported: ReadonlySet<string>;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-monitoring-'));
    const text = await exposition(daemonSnapshot());
    exported = new Set(
      text
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
        .map((line) => line.split(/[{ ]/)[0]),
    );
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  const file = (name: string, text: string): string => {
    const path = join(directory, name);
    writeFileSync(path, text);
    return path;
  };
  /** Metric names and the labels that are asked for, of an expression. */
  const namesIn = (expression: string): string[] =>
    expression.match(/\b(iserd|process)_[a-z_]+/g) ?? [];
  const dashboard = JSON.parse(read('packaging/grafana/iserd.json')) as Dashboard;
  const expressions = [
    ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
    ...dashboard.annotations.list.map(({ expr }) => expr),
  ];

  it('has metrics that promtool has nothing against', async () => {
    const { code, stdout, stderr } = await checkMetrics(
      file('metrics', await exposition(daemonSnapshot())),
    );
    expect(`${stdout}${stderr}`).to.equal('');
    expect(code).to.equal(0);
  });

  it('has alert rules that are valid', async () => {
    const { code, stdout, stderr } = await promtool('check', 'rules', '--lint-fatal', alerts);
    expect(code, `${stdout}${stderr}`).to.equal(0);
    expect(stdout).to.match(/8 rules found/);
  });

  it('has alert rules that fire when they should and do not when they should not', async () => {
    const { code, stdout, stderr } = await promtool(
      'test',
      'rules',
      'packaging/prometheus/alerts.test.yml',
    );
    expect(code, `${stdout}${stderr}`).to.equal(0);
    const names = read(alerts).match(/(?<=alert: )\w+/g)!;
    for (const name of names)
      expect(read('packaging/prometheus/alerts.test.yml')).to.include(`alertname: ${name}`);
  });

  it('has alert rules about metrics that the daemon exports', () => {
    const names = [...read(alerts).matchAll(/expr: (?:>-\n)?([^]*?)\n {8}(?:for|labels)/g)].flatMap(
      ([, expression]) => namesIn(expression),
    );
    expect(names).to.have.lengthOf.at.least(8);
    for (const name of names) expect(exported, name).to.include(name);
  });

  it('has a dashboard about metrics that the daemon exports, and about all of them', () => {
    const names = [
      ...expressions,
      ...dashboard.templating.list.map(({ definition = '' }) => definition),
    ].flatMap(namesIn);
    for (const name of names) expect(exported, name).to.include(name);
    const families = new Set([...exported].map((name) => name.replace(/_(bucket|sum|count)$/, '')));
    const shown = new Set(names.map((name) => name.replace(/_(bucket|sum|count)$/, '')));
    expect([...families].filter((name) => !shown.has(name))).to.deep.equal([]);
  });

  it('has a dashboard whose expressions Prometheus can read', async () => {
    expect(expressions).to.have.lengthOf.at.least(40);
    const rules = expressions.map((expression, index) => ({
      record: `dashboard:expression:${index}`,
      expr: expression
        .replaceAll('$__rate_interval', '5m')
        .replaceAll(/\$(job|instance|volume)/g, '.*'),
    }));
    expect(JSON.stringify(rules)).not.to.match(/\$/);
    // JSON is YAML.
    const path = file('dashboard.yml', JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
    const { code, stdout, stderr } = await promtool('check', 'rules', path);
    expect(code, `${stdout}${stderr}`).to.equal(0);
  });

  it('has a dashboard whose panels do not overlap', () => {
    const taken = new Set<string>();
    for (const { title, gridPos } of dashboard.panels) {
      expect(gridPos.x + gridPos.w, title).to.be.at.most(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.has(`${x},${y}`), title).to.equal(false);
          taken.add(`${x},${y}`);
        }
    }
  });
});
